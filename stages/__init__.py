"""One file per DVC stage: read inputs, build, run, write outputs."""
