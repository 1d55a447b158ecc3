"""One file per DVC stage: read inputs, build, run, write outputs."""

from fkt.core.stopping import prepare_to_stop

prepare_to_stop()
