"""The ``fkt`` command: one module for each of its subcommands."""
