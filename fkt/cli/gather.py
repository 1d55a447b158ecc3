"""``fkt gather NAME``: finished experiments of a sweep as tables and a figure, beside published figures.

Experiments are found by their parameters, among DVC's experiments of every commit and in the folders named. Those that
are alike in all that the sweep leaves alone are taken together; others fill what is empty then, which the page tells.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fkt.core.errors import UserError
from fkt.core.files import write_text
from fkt.core.runs import METRICS
from fkt.sweeps.cells import cells_of
from fkt.sweeps.experiments import read_dvc, read_folder, read_now
from fkt.sweeps.grid import fill
from fkt.sweeps.matching import gather
from fkt.sweeps.page import render
from fkt.sweeps.spec import SWEEPS, load_sweep

TABLES = METRICS / "tables"


def main(name: str, out: Path = TABLES, folders: Sequence[Path] = (), *, sweeps: Path = SWEEPS) -> list[Path]:
    """Write NAME.md and NAME.png, and return their paths. Raises UserError where no experiment is there."""
    sweep = load_sweep(name, sweeps)
    cells = cells_of(sweep)
    finished, unfinished = read_dvc(all_commits=True)
    gathered = gather(cells, [*finished, *map(read_folder, folders)], unfinished, read_now())
    if not gathered.found:
        why = "".join(f"\n       {text}" for text in (*gathered.waiting.values(), *gathered.refused))
        raise UserError(
            f"no finished experiment has the settings of the sweep '{name}', so there is nothing to gather; "
            f"'fkt sweep {name}' queues its {len(cells)} experiments{why}"
        )
    grids = [fill(table, sweep.axes, gathered) for table in sweep.tables]
    out.mkdir(parents=True, exist_ok=True)
    figure, page = out / f"{name}.png", out / f"{name}.md"

    from fkt.sweeps.figure import draw  # its imports take longer than all else here

    has_figure = draw(grids, sweep.title, figure)
    text = render(sweep, grids, gathered, has_figure=has_figure)
    write_text(page, text)
    print(text)
    return [page, figure] if has_figure else [page]


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser("gather", help="tabulate and draw a sweep's results", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="a sweep; 'fkt sweep' lists them")
    parser.add_argument("--out", type=Path, default=TABLES, help=f"folder of the table and the figure ({TABLES})")
    parser.add_argument(
        "--from", dest="folders", type=Path, nargs="+", default=[], metavar="FOLDER",
        help="folders with params.yaml and metrics/summary.json, of experiments that ran elsewhere",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the page and the figure, and print where they are."""
    written = main(arguments.name, arguments.out, arguments.folders)
    print(f"written: {', '.join(map(str, written))}")
