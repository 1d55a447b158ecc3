"""Write params.yaml from presets, or list them."""

import argparse
from typing import Any

from fkt.check import check_names
from fkt.params import PARAMS_FILE
from fkt.params.presets import apply_presets, available


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser(
        "preset",
        help="set params.yaml for a dataset (digits, cifar10, folder, ...) or a machine (laptop)",
        description="Write params.yaml: the default settings, changed by these presets in order. Print what changes. "
        "Without a name, list the presets.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file in presets/, without .yaml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List the presets, or apply them."""
    if arguments.names:
        lines = apply_presets(arguments.names, check_names)
        print("\n".join(lines) if lines else f"{PARAMS_FILE} has these values already")
        return
    print("fkt preset NAME...  writes params.yaml: the default settings, changed by these presets in order:")
    for name, line in available().items():
        print(f"  {name:<13} {line}")
