"""Write params.yaml: the default settings, changed by these presets in order. Print what changes.

Without a name, list the presets.
"""

import argparse

from fkt.check import check_names
from fkt.params import PARAMS_FILE
from fkt.params.presets import apply_presets, available

HELP = "set params.yaml for a dataset (digits, cifar10, folder, ...) or a machine (laptop)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file in presets/, without .yaml")


def run(arguments: argparse.Namespace) -> None:
    """List the presets, or apply them."""
    if arguments.names:
        lines = apply_presets(arguments.names, check_names)
        print("\n".join(lines) if lines else f"{PARAMS_FILE} has these values already")
        return
    print("fkt preset NAME...  writes params.yaml: the default settings, changed by these presets in order:")
    for name, line in available().items():
        print(f"  {name:<13} {line}")
