"""``fkt sweep NAME``: queue the experiments of ``sweeps/NAME.yaml``; without a name, list the sweeps.

Every experiment is the params.yaml of the moment with the settings of one cell of the sweep. All of them are checked
before any is queued. ``fkt gather NAME`` makes tables of what has run.
"""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from fkt.core.errors import UserError
from fkt.params import PARAMS_FILE, load_params
from fkt.params.reader import read_yaml
from fkt.sweeps.cells import cells_of
from fkt.sweeps.experiments import complaint, dvc, read_dvc
from fkt.sweeps.queueing import check_repository, plan
from fkt.sweeps.spec import available, load_sweep


def main(name: str, *, dry_run: bool) -> None:
    """Print the commands of a sweep and, but for a dry run, give them to DVC."""
    sweep = load_sweep(name)
    cells = cells_of(sweep)
    check_repository()
    load_params()  # its own mistakes are told without a word of the sweep
    content = read_yaml(PARAMS_FILE)
    assert isinstance(content, dict)
    planned = plan(name, cells, content, str(PARAMS_FILE), *read_dvc(all_commits=False))
    print(f"{name}: {sweep.title}. {len(cells)} experiments over {PARAMS_FILE} as it is now.\n")
    queued = 0
    for one in planned:
        if one.known:
            print(f"# {one.cell}: this commit has it as {one.known}")
            continue
        print(shlex.join(["dvc", *one.arguments]), flush=True)
        if not dry_run:
            done = dvc(*one.arguments)
            if done.returncode:
                raise UserError(
                    f"{one.name}: DVC did not queue it: {complaint(done)}; {queued} experiments are queued "
                    "('dvc queue status'), and the same command goes on from here"
                )
        queued += 1
    print(f"\n{queued} experiments {'would be ' if dry_run else ''}queued, {len(planned) - queued} are there already.")
    if queued and not dry_run:
        print(
            "Start two workers:  dvc queue start -j 2\n"
            "   (on a CPU that two of them share, with FKT_THREADS set to half of its cores before it)\n"
            "Watch them:         dvc queue status\n"
            f"Then the tables:    fkt gather {name}"
        )


def list_sweeps() -> None:
    """Print every sweep with its title."""
    print("fkt sweep NAME [--dry-run]  queues one of these in DVC:")
    for name in available():
        sweep = load_sweep(name)
        print(f"  {name:<12} {sweep.title} ({len(cells_of(sweep))} experiments)")


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser(
        "sweep", help="queue the experiments of a question, such as lambda", description=__doc__
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a file of sweeps/; without it, they are listed")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, check every experiment, queue none")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Queue a sweep, or list the sweeps."""
    if arguments.name is None:
        list_sweeps()
    else:
        main(arguments.name, dry_run=arguments.dry_run)
