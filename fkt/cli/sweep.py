"""Queue the experiments of sweeps/NAME.yaml in DVC; without a name, list the sweeps.

An experiment is the current params.yaml with the settings of one cell of the grid. All are checked before any is
queued; those that this commit already has are left alone.
"""

import argparse
import shlex

from fkt.core.errors import UserError
from fkt.params import PARAMS_FILE
from fkt.sweeps.experiments import FAILED, command, dvc, params_of, present, read_experiments
from fkt.sweeps.spec import available, load_sweep

HELP = "queue the experiments of a question in DVC"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a file of sweeps/; without it, the sweeps are listed")
    parser.add_argument("--dry-run", action="store_true", help="check every experiment and print the commands only")


def run(arguments: argparse.Namespace) -> None:
    """Queue a sweep, or list the sweeps."""
    if arguments.name is not None:
        _queue(arguments.name, dry_run=arguments.dry_run)
        return
    print("fkt sweep NAME [--dry-run]  queues one of these in DVC:")
    for name in available():
        sweep = load_sweep(name)
        print(f"  {name:<15} {sweep.title} ({len(sweep.cells())} experiments)")


def _queue(name: str, *, dry_run: bool) -> None:
    """Print the commands that queue a sweep and, unless it is a dry run, run them."""
    sweep = load_sweep(name)
    cells, now = sweep.cells(), present()
    known = {key: one for key, one in read_experiments().items() if one.state != FAILED}
    lines, commands = [f"{name}: {sweep.title}. {len(cells)} experiments over the current {PARAMS_FILE}.\n"], []
    for cell in cells:
        params, one = params_of(cell, now), known.get(cell.name)
        if one is None:
            commands.append(command(cell, now))
        elif wrong := one.differences(params):
            raise UserError(
                f"this commit already has an experiment {cell.name} with other parameters: {wrong}. Remove it with "
                f"'dvc exp remove {cell.name}', or commit params.yaml, so that the sweep starts from a new commit"
            )
        else:
            lines.append(f"# {cell.name}: {one.state}")
    print("\n".join(lines))
    for arguments in commands:
        print(shlex.join(["dvc", *arguments]), flush=True)
        if not dry_run:
            dvc(*arguments)
    print(f"\n{len(commands)} experiments {'would be ' if dry_run else ''}queued; {len(lines) - 1} exist already.")
    if commands and not dry_run:
        print(f"Run them with 'dvc queue start -j 2', then 'fkt gather {name}'.")
