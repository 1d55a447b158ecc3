"""The ``fkt`` command: one module for each of its subcommands."""

from fkt.core.stopping import prepare_to_stop

prepare_to_stop()
