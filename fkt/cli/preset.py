"""``fkt preset [NAME...]``: lay presets over params.yaml, or list them."""

from __future__ import annotations

import argparse
from typing import Any

from fkt.params import PARAMS_FILE
from fkt.presets import apply_presets, available


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser(
        "preset",
        help="set params.yaml up for a dataset (digits, cifar10, folder, ...) or a machine (laptop)",
        description="Lay presets over params.yaml, in the order given, and print what changed; without a name, list "
        "the presets.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List the presets, or apply those named."""
    if not arguments.names:
        print("fkt preset NAME...  lays these over params.yaml, one after the other:")
        for name, line in available().items():
            print(f"  {name:<10} {line}")
        return
    lines = apply_presets(arguments.names)
    print("\n".join(lines) if lines else f"{PARAMS_FILE} has all of these values already; nothing changes")
