"""Which experiment fills which cell of a sweep: by its parameters, never by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fkt.sweeps.cells import Cell
from fkt.sweeps.equality import same
from fkt.sweeps.experiments import Experiment, Unfinished
from fkt.sweeps.staleness import staleness

MODES = "modes"


@dataclass(frozen=True)
class Gathered:
    """The cells of a sweep and what was found for each."""

    cells: Sequence[Cell]
    found: Mapping[int, Experiment]
    """Position of a cell to the experiment that fills it."""
    repeated: int
    """Experiments that were left out for another with the very same parameters."""
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


@dataclass(frozen=True)
class _Alike:
    """Experiments of one commit that differ in nothing but what the sweep sets."""

    commit: str | None
    rest: Mapping[str, Any]
    """Their parameters but for those that the sweep sets."""
    fills: dict[int, Experiment]
    """Position of a cell to the one of them that has its settings."""
    expected: frozenset[int]
    """Positions of the cells that experiments without results would fill, of any commit."""


def gather(
    cells: Sequence[Cell],
    experiments: Iterable[Experiment],
    unfinished: Iterable[Unfinished],
    now: Mapping[str, Any] | None = None,
) -> Gathered:
    """Find an experiment for every cell; a cell that has none stays without.

    Experiments of other sweeps over the same params.yaml may have the settings of a cell too, but they are not alike
    in what this sweep leaves alone. The experiments of one commit that are alike there and fill the most cells, now or
    when all have run, come first; among as many, those that are alike to ``now`` (dotted keys of params.yaml), then the
    latest. Others fill only what is empty then, and ``differences`` tells what they differ in.
    """
    latest_first = sorted(experiments, key=lambda experiment: experiment.made, reverse=True)
    judged = [(one, staleness(one)) for one in latest_first if _positions(one.params, cells)]
    sound = [one for one, stale in judged if not stale]
    pending = list(unfinished)
    current = None if now is None else _rest(now, cells)
    found, first = _chosen(_groups(cells, sound, pending), current)
    kept = list(found.values())
    left_out = [one for one in sound if not any(one is other for other in kept)]
    repeated = sum(any(same(one.params, other.params) for other in kept) for one in left_out)
    refused = [f"{one.name}: {stale}" for one, stale in judged if stale and _is_missed(one, cells, found)]
    own = [rest for rest in (first, current) if rest is not None]
    waiting: dict[int, str] = {}
    for one in pending:
        if not own or any(same(_rest(one.params, cells), rest) for rest in own):
            for at in _positions(one.params, cells) - found.keys():
                waiting.setdefault(at, f"{one.state}: {one.name}")
    return Gathered(cells, dict(sorted(found.items())), repeated, refused, waiting)


def has_settings(params: Mapping[str, Any], cell: Cell) -> bool:
    """Whether an experiment has every setting of a cell; it may train more modes than the cell."""
    return all(key in params and _serves(key, params[key], value) for key, value in cell.settings.items())


def has_same(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an experiment's parameters are all those that are wanted; it may train more modes."""
    return params.keys() == wanted.keys() and all(_serves(key, params[key], value) for key, value in wanted.items())


def _serves(key: str, value: object, wanted: object) -> bool:
    """Whether a value is the one wanted. The arms of an experiment are independent, so that more of them do no harm."""
    if key == MODES and isinstance(value, list) and isinstance(wanted, list):
        return set(value) >= set(wanted)
    return same(value, wanted)


def _groups(
    cells: Sequence[Cell], latest_first: Iterable[Experiment], unfinished: Iterable[Unfinished]
) -> list[_Alike]:
    """Sort experiments by their commit and by what the sweep leaves alone; the group of the latest comes first."""
    pending = [(_rest(one.params, cells), _positions(one.params, cells)) for one in unfinished]
    groups: list[_Alike] = []
    for one in latest_first:
        rest = _rest(one.params, cells)
        group = next((known for known in groups if known.commit == one.commit and same(known.rest, rest)), None)
        if group is None:
            expected = frozenset[int]().union(*(positions for other, positions in pending if same(other, rest)))
            group = _Alike(one.commit, rest, {}, expected)
            groups.append(group)
        for at in _positions(one.params, cells):
            group.fills.setdefault(at, one)
    return groups


def _chosen(
    groups: Sequence[_Alike], current: Mapping[str, Any] | None
) -> tuple[dict[int, Experiment], Mapping[str, Any] | None]:
    """Return what fills each cell, and what the first group taken has beside the sweep's settings.

    current: the same of the params.yaml of now.
    """
    found: dict[int, Experiment] = {}
    first: Mapping[str, Any] | None = None
    ranked = list(groups)
    while ranked := [group for group in ranked if group.fills.keys() - found.keys()]:
        worth = []
        for group in ranked:
            new = group.fills.keys() - found.keys()
            worth.append((same(group.rest, first), len(new | group.expected), len(new), same(group.rest, current)))
        best = ranked[worth.index(max(worth))]
        found = {**best.fills, **found}
        first = best.rest if first is None else first
    return found, first


def _rest(params: Mapping[str, Any], cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the parameters that the sweep leaves alone."""
    swept = {MODES}.union(*(cell.settings for cell in cells))
    return {key: value for key, value in params.items() if key not in swept}


def _positions(params: Mapping[str, Any], cells: Sequence[Cell]) -> set[int]:
    return {at for at, cell in enumerate(cells) if has_settings(params, cell)}


def _is_missed(stale: Experiment, cells: Sequence[Cell], found: Mapping[int, Experiment]) -> bool:
    """Whether an experiment that was refused would stand in a cell that is empty, or be the later one of its kind."""
    for at in _positions(stale.params, cells):
        if at not in found or (found[at].made < stale.made and has_same(stale.params, found[at].params)):
            return True
    return False


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
