"""The experiments of a sweep: every combination of levels, with the settings that make it."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fkt.core.errors import ParamsError, did_you_mean, unknown_name
from fkt.params import parse_params
from fkt.params.reader import read_yaml
from fkt.presets import PRESETS, flat
from fkt.sweeps.spec import Sweep
from fkt.sweeps.table_spec import Settings

LAID = "presets"
"""The key of a level, or of the settings, that names presets instead of a parameter."""


@dataclass(frozen=True)
class Cell:
    """One experiment of a sweep."""

    levels: dict[str, str]
    """Axis to the label of its level."""
    settings: Settings
    """Dotted keys of params.yaml and their values: all that the sweep says of this experiment."""
    own: frozenset[str]
    """Keys that the levels set themselves, not through presets."""

    def __str__(self) -> str:
        """Return the levels for a reader."""
        return ", ".join(f"{axis} {label}" for axis, label in self.levels.items())

    def name(self, sweep: str) -> str:
        """Name of the experiment in DVC: the sweep and the labels, in the characters that git allows in a name."""
        return "-".join([sweep, *(_slug(label) for label in self.levels.values())])


def cells_of(sweep: Sweep, folder: Path = PRESETS) -> list[Cell]:
    """Return the experiments of a sweep, in the order of its axes, the last one varying fastest.

    Raises ParamsError where two axes set one key, or where a level leaves out a key that another sets: its experiments
    would then depend on what params.yaml says that day.
    """
    where = f"sweeps/{sweep.name}.yaml"
    common = _settings(sweep.settings, folder)
    combinations = itertools.product(*([(axis, label) for label in levels] for axis, levels in sweep.axes.items()))
    cells = []
    for combination in combinations:
        levels = dict(combination)
        if any(excluded.items() <= levels.items() for excluded in sweep.exclude):
            continue
        settings, own = dict(common), set[str]()
        for axis, label in combination:
            chosen = sweep.axes[axis][label]
            laid = _settings(chosen, folder)
            if twice := own & set(laid):
                raise ParamsError(f"{where}: {', '.join(sorted(twice))} is set by {axis} and by another axis")
            settings |= laid
            own |= set(chosen) - {LAID}
        cells.append(Cell(levels, settings, frozenset(own)))
    _check_keys(where, cells)
    _check_names(where, [cell.name(sweep.name) for cell in cells])
    return cells


def params_of(cell: Cell, content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the content of params.yaml with the settings of a cell in place, checked by its strict reader.

    content: of the params file ``source``; it is not changed. Raises ParamsError, which names the cell.
    """
    changed = copy.deepcopy(dict(content))
    known = [key for key, _ in flat(changed)]
    for key, value in cell.settings.items():
        section: Any = changed
        *path, last = key.split(".")
        for part in path:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section or isinstance(section[last], dict):
            raise ParamsError(f"{source} with {cell}: no key '{key}'{did_you_mean(key, known)}")
        section[last] = copy.deepcopy(value)
    parse_params(changed, f"{source} with {cell}")
    return changed


def _settings(stated: Settings, folder: Path) -> Settings:
    """Flatten what a sweep states: the values of the presets it names, and its own over them."""
    settings: Settings = {}
    for name in stated.get(LAID, []):
        path = folder / f"{name}.yaml"
        if not path.is_file():
            raise ParamsError(unknown_name("preset", name, [found.stem for found in folder.glob("*.yaml")]))
        settings |= dict(flat(read_yaml(path)))
    return settings | {key: value for key, value in stated.items() if key != LAID}


def _check_keys(where: str, cells: list[Cell]) -> None:
    every = set().union(*(cell.settings for cell in cells))
    for cell in cells:
        if missing := sorted(every - set(cell.settings)):
            raise ParamsError(f"{where}: {cell} does not set {', '.join(missing)}, which another cell sets")
    values = [sorted((key, repr(value)) for key, value in cell.settings.items()) for cell in cells]
    for one, other in itertools.combinations(range(len(cells)), 2):
        if values[one] == values[other]:
            raise ParamsError(f"{where}: {cells[one]} and {cells[other]} are the same experiment")


def _check_names(where: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParamsError(f"{where}: two experiments would be called {', '.join(twice)}; choose other labels")


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", label.replace("%", "pct").replace(" pct", "pct")).strip("-.")
