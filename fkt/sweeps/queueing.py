"""The experiments of a sweep as commands of DVC, and what must hold before any is queued."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fkt.core.errors import UserError
from fkt.presets import flat
from fkt.sweeps.cells import Cell, params_of
from fkt.sweeps.equality import same
from fkt.sweeps.experiments import Experiment, Unfinished
from fkt.sweeps.matching import has_same
from fkt.sweeps.overrides import override
from fkt.sweeps.staleness import REPORT, staleness

FAILED = "failed"


@dataclass(frozen=True)
class Planned:
    """A cell of a sweep, ready to be queued."""

    cell: Cell
    name: str
    arguments: list[str]
    """Of dvc."""
    known: str
    """The experiment with all these parameters that this commit has or waits for; empty where it has none."""


def check_repository() -> None:
    """Raise UserError where DVC cannot queue experiments: outside of git or DVC, or before the first commit."""
    if _git("rev-parse", "--is-inside-work-tree").returncode:
        raise UserError("this folder is in no git repository, and experiments are kept in git; run 'git init', "
                        "'git add --all' and 'git commit'")  # fmt: skip
    if not Path(".dvc").is_dir():
        raise UserError("there is no .dvc folder here; run this from the project's root")
    if _git("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise UserError("nothing is committed yet, and an experiment starts from a commit; "
                        "run 'git add --all' and 'git commit'")  # fmt: skip


def plan(
    sweep: str,
    cells: Sequence[Cell],
    content: Mapping[str, Any],
    source: str,
    finished: Sequence[Experiment],
    unfinished: Sequence[Unfinished],
) -> list[Planned]:
    """Turn every cell into a command, after the strict reader has accepted them all.

    content: of the params file ``source``; finished, unfinished: experiments of this commit. A name that an experiment
    with other parameters has already gets a number. Raises ParamsError for the first cell that is no experiment.
    """
    before = dict(flat(content))
    taken = {one.name for one in finished} | {one.name for one in unfinished}
    planned = []
    for cell, after in [(cell, dict(flat(params_of(cell, content, source)))) for cell in cells]:
        known = _known(after, finished, unfinished)
        name = known or _free(cell.name(sweep), taken)
        changed = [key for key in cell.settings if key in cell.own or not same(before[key], after[key])]
        sets = [part for key in changed for part in ("-S", override(key, after[key]))]
        planned.append(Planned(cell, name, ["exp", "run", "--queue", "-n", name, *sets, REPORT], known))
        taken.add(name)
    return planned


def _known(params: Mapping[str, Any], finished: Sequence[Experiment], unfinished: Sequence[Unfinished]) -> str:
    candidates: list[Experiment | Unfinished] = [one for one in finished if not staleness(one)]
    for one in (*candidates, *(one for one in unfinished if one.state != FAILED)):
        if has_same(one.params, params):
            return one.name
    return ""


def _free(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number where it is taken: DVC has one experiment of a name on a commit."""
    return next(new for at in itertools.count(1) if (new := name if at == 1 else f"{name}-{at}") not in taken)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
