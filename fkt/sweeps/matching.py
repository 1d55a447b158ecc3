"""Which experiment fills which cell of a sweep: by its parameters, never by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fkt.params import PARAMS_FILE
from fkt.sweeps.cells import Cell
from fkt.sweeps.experiments import Experiment, Unfinished

LOCK = Path("dvc.lock")
REPORT = "report"


@dataclass(frozen=True)
class Gathered:
    """The cells of a sweep and what was found for each."""

    cells: Sequence[Cell]
    found: Mapping[int, Experiment]
    """Position of a cell to the latest experiment with its settings."""
    older: int
    """Experiments that a later one with the same settings stands before."""
    refused: Sequence[str]
    """Experiments that were left out, and why."""
    waiting: Mapping[int, str]
    """Position of a missing cell to the state of an experiment that has no results yet."""

    @property
    def missing(self) -> list[int]:
        """Positions of the cells that no experiment fills."""
        return [at for at in range(len(self.cells)) if at not in self.found]

    def experiment(self, levels: Mapping[str, str]) -> Experiment | None:
        """Return the experiment of the cell with these levels, if it has one."""
        at = next((at for at, cell in enumerate(self.cells) if cell.levels == levels), None)
        return None if at is None else self.found.get(at)

    def is_cell(self, levels: Mapping[str, str]) -> bool:
        """Whether the sweep has an experiment of these levels."""
        return any(cell.levels == levels for cell in self.cells)


def gather(cells: Sequence[Cell], experiments: Iterable[Experiment], unfinished: Iterable[Unfinished]) -> Gathered:
    """Find the latest experiment for every cell; a cell that has none stays without."""
    latest_first = sorted(experiments, key=lambda experiment: experiment.made, reverse=True)
    pending = list(unfinished)
    found: dict[int, Experiment] = {}
    waiting: dict[int, str] = {}
    refused: list[str] = []
    older = 0
    for at, cell in enumerate(cells):
        for experiment in (one for one in latest_first if has_settings(one.params, cell)):
            if at in found:
                older += 1
            elif stale := staleness(experiment):
                refused.append(f"{experiment.name}: {stale}")
            else:
                found[at] = experiment
        states = [f"{one.state}: {one.name}" for one in pending if has_settings(one.params, cell)]
        if at not in found and states:
            waiting[at] = states[0]
    return Gathered(cells, found, older, refused, waiting)


def has_settings(params: Mapping[str, Any], cell: Cell) -> bool:
    """Whether an experiment has every setting of a cell."""
    return all(key in params and same(params[key], value) for key, value in cell.settings.items())


def same(one: object, other: object) -> bool:
    """Whether two values of params.yaml are equal; 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def differences(gathered: Gathered) -> dict[str, list[tuple[object, list[str]]]]:
    """Return the parameters in which the experiments differ though the sweep does not set them.

    For each key, its values with the cells that have them.
    """
    swept = {key for cell in gathered.cells for key in cell.settings}
    keys = sorted({key for experiment in gathered.found.values() for key in experiment.params} - swept)
    different = {}
    for key in keys:
        groups: list[tuple[object, list[str]]] = []
        for at, experiment in gathered.found.items():
            value, cell = experiment.params.get(key, "absent"), str(gathered.cells[at])
            group = next((cells for known, cells in groups if same(known, value)), None)
            if group is None:
                groups.append((value, [cell]))
            else:
                group.append(cell)
        if len(groups) > 1:
            different[key] = groups
    return different


def staleness(experiment: Experiment) -> str:
    """Say what is wrong if metrics/summary.json was made with other parameters than the experiment's; else nothing.

    An experiment that was run up to another stage than ``report`` keeps the summary that it started with.
    """
    text = experiment.read(LOCK)
    lock = yaml.load(text, Loader=yaml.CSafeLoader) if text else {}
    stage = (lock.get("stages") or {}).get(REPORT) or {}
    made_with = (stage.get("params") or {}).get(PARAMS_FILE.as_posix()) or {}
    for key, value in made_with.items():
        now = _at(experiment.params, key)
        if not same(now, value):
            return (
                f"its metrics/summary.json was made with {key}: {value}, and its params.yaml says {now}; "
                f"run it as far as the stage {REPORT}"
            )
    return ""


def _at(params: Mapping[str, Any], key: str) -> object:
    """Return the value of a key of params.yaml, or the section of that name."""
    if key in params:
        return params[key]
    section: dict[str, Any] = {}
    for name, value in params.items():
        if name.startswith(f"{key}."):
            inner = section
            *path, last = name.removeprefix(f"{key}.").split(".")
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return section
