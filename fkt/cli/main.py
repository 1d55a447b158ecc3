"""``fkt COMMAND``: the commands that a person types, besides those of DVC."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from fkt import __version__
from fkt.cli import check, export, gather, new, power, predict, preset, repro, status, sweep, tune
from fkt.core.errors import reported

DESCRIPTION = """\
Should self-supervised learning come before the labels, together with them, or not at all? fkt trains a classifier each
way on your images, under the same conditions, and compares them. DVC runs the comparison, from the project's root:

  fkt new birds                    choose the settings for your own images, in the folder birds
  fkt repro                        run what params.yaml describes; 'dvc repro' does the same, one stage at a time
  dvc exp run -S lambda=0.5        the same with another value
  dvc metrics diff                 what that changed; choose settings by the validation scores
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``fkt``, with the parsers of all commands."""
    parser = argparse.ArgumentParser(
        prog="fkt", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fkt {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (new, repro, status, check, preset, tune, sweep, gather, power, predict, export):
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; a mistake of the user ends in one message and exit status 1."""
    arguments = build_parser().parse_args(argv)
    try:
        with reported():
            arguments.run(arguments)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest at its end
        sys.exit(128 + signal.SIGPIPE)
