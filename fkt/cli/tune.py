"""Choose the settings of every arm on validation images, with the same number of trials for each.

Ranges are in tuning.yaml. Trials are experiments in DVC's queue; the winners go into params.yaml (docs/tuning.md).
"""

import argparse

from fkt.cli.check import count
from fkt.core.errors import UserError

HELP = "choose the settings of every arm on validation images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--trials", type=count, default=16, metavar="N", help="trials of each arm (16)")
    parser.add_argument("--seeds", type=count, default=2, metavar="N", help="seeds of each trial (2)")
    parser.add_argument("--jobs", type=count, default=1, metavar="J", help="trials that run at the same time (1)")
    parser.add_argument("--arms", nargs="+", default=[], metavar="ARM", help="arms to tune; by default all in modes")
    parser.add_argument("--dry-run", action="store_true", help="only check everything, and print the trials")
    parser.add_argument("--show", action="store_true", help="print the last table, and run nothing")


def run(arguments: argparse.Namespace) -> None:
    """Tune, or print the last table."""
    from fkt.tuning.tune import PAGE, Request, tune

    if arguments.show:
        if not PAGE.is_file():
            raise UserError(f"{PAGE} does not exist yet; run 'fkt tune'")
        print(PAGE.read_text(encoding="utf-8"))
        return
    tune(Request(arguments.arms, arguments.trials, arguments.seeds, arguments.jobs, arguments.dry_run))
