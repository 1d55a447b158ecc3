"""``fkt check``: check params.yaml."""

import argparse
from typing import Any

from fkt.check import load_checked
from fkt.params import PARAMS_FILE


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser("check", help="check params.yaml and say what is wrong", description=__doc__)
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> None:
    """Print one line where params.yaml is right; raise ParamsError with a line for each mistake where it is not."""
    params = load_checked()
    seeds = ", ".join(map(str, params.seeds))
    print(f"{PARAMS_FILE}: ok (dataset {params.dataset}; modes {', '.join(params.modes)}; seeds {seeds})")
