"""A sweep: the model of ``sweeps/NAME.yaml``, and the experiments (cells) of its grid. Runs nothing."""

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from fkt.core.errors import ParamsError, unknown_name
from fkt.params.base import Section
from fkt.params.presets import flat, laid
from fkt.params.reader import parse_section, parse_yaml, read_yaml

SWEEPS = Path("sweeps")
MODE, METRIC = "mode", "metric"
"""Dimensions of a table that are inside each experiment; the other dimensions are the axes of the sweep."""
LAID = "presets"
"""Key of settings that names presets instead of a parameter: the experiment then starts from these, not params.yaml."""
VALIDATION, TEST, DIFFERENCE = "val_accuracy", "accuracy", "difference"
PRINTED = re.compile(r"-?\d+(\.\d+)?( \+- \d+(\.\d+)?)?")
Settings = dict[str, Any]
"""Dotted keys of params.yaml and their values."""
METRICS = {
    TEST: ("Test accuracy %", 100, 2),
    "precision": ("Precision %", 100, 2),
    "recall": ("Recall %", 100, 2),
    "f1": ("F1 %", 100, 2),
    "balanced_accuracy": ("Balanced accuracy %", 100, 2),
    "quadratic_kappa": ("Quadratic kappa", 1, 3),
    VALIDATION: ("Validation accuracy %", 100, 2),
    "knn_accuracy": ("kNN probe %", 100, 2),
    "linear_accuracy": ("Linear probe %", 100, 2),
    DIFFERENCE: ("Difference, points", 100, 2),
    "epochs": ("Epochs", 1, 1),
    "image_passes": ("Image passes", 1, 0),
    "gflops": ("TFLOPs", 1e-3, 3),
    "seconds": ("Seconds", 1, 1),
}
"""Numbers of metrics/summary.json by their names there: label, factor, and decimals."""
COSTS = ["epochs", "image_passes", "gflops", "seconds"]
"""Metrics that are read from metrics/costs.csv, which also has the networks that are not arms."""


class Published(Section):
    """Published results from one source under one set of conditions."""

    source: str
    """Paper (arXiv number) and table."""
    conditions: str
    """Dataset, network and protocol, and what of these is not confirmed."""
    dataset: str | None = None
    """Their dataset in params.yaml. Hidden if it is not ours and another source is on ours; empty: always shown."""
    values: dict[str, Any]
    """Results as printed, nested by the rows and then the columns of the table: ``92.20 +- 0.11``."""


class Form(Section):
    """How a table is drawn: panels for all dimensions except x and hue; ``line`` connects points, if x has an order."""

    x: str
    hue: str
    line: bool = False
    log: bool = False
    """Whether the labels of x are numbers, or numbers with %, on a logarithmic axis."""


class Table(Section):
    """One table of results."""

    title: str
    rows: list[str] = Field(min_length=1)
    """Dimensions: axes of the sweep, ``mode`` and ``metric``."""
    columns: list[str] = Field(min_length=1)
    modes: list[str] = []
    """Sections of metrics/summary.json; empty for a table that has only published results."""
    metrics: list[str] = []
    figure: Form | None = None
    choice: str | None = None
    """Axis of which validation accuracy chooses a level; the page says what this choice costs on test images."""
    published: list[Published] = []

    @property
    def dimensions(self) -> list[str]:
        """Dimensions of the rows, then of the columns."""
        return [*self.rows, *self.columns]

    def check(self, axes: dict[str, dict[str, Settings]]) -> None:
        """Raise ValueError if the table does not fit the axes of its sweep."""
        levels: dict[str, Collection[str]] = {**axes, MODE: self.modes, METRIC: self.metrics}
        if bool(self.modes) != bool(self.metrics) or not (self.modes or self.published):
            raise ValueError("give modes and metrics, or neither of them and published results")
        if self.modes:
            _require("dimension", self.dimensions, levels)
        _require("metric", self.metrics, METRICS)
        for name, labels in levels.items():
            count = self.dimensions.count(name)
            if self.modes and (count > 1 or (count == 0 and len(labels) > 1)):
                raise ValueError(f"{name} has {len(labels)} levels; put it once in rows or in columns")
        for published in self.published:
            for place, text in leaves(published.values):
                where = " / ".join(place)
                if len(place) != len(self.dimensions):
                    raise ValueError(f"published '{where}' is not nested by {', '.join(self.dimensions)}")
                if not isinstance(text, str) or not PRINTED.fullmatch(text):
                    raise ValueError(f"published '{where}' is {text!r}; write it as '92.20' or '92.20 +- 0.11'")
                for name, label in zip(self.columns, place[len(self.rows) :], strict=True):
                    _require(f"{name} of a published result", [label], levels[name] if self.modes else [label])
        if self.figure is not None:
            _require("dimension of the figure", [self.figure.x, self.figure.hue], self.dimensions)
            if self.figure.log and (wrong := [label for label in levels[self.figure.x] if not size_of(label)]):
                raise ValueError(f"{self.figure.x} '{wrong[0]}' is not a number above 0, which log: true needs")
        if self.choice is not None:
            _require("axis", [self.choice], axes)
            _require("metric of a table with a choice", [VALIDATION, TEST], self.metrics)


@dataclass(frozen=True)
class Cell:
    """One experiment of a sweep."""

    name: str
    """In DVC: the sweep and the labels of its levels."""
    levels: dict[str, str]
    """Axis to label."""
    settings: Settings
    """Parameters that the sweep sets, itself or through presets."""


class Sweep(Section):
    """One question, the experiments that answer it, and the tables of their results."""

    name: str
    title: str
    question: str
    remarks: list[str] = []
    settings: Settings = {}
    """Of every experiment."""
    axes: dict[str, dict[str, Settings]] = Field(min_length=1)
    """Axis to label to settings; the experiments are all combinations, without those of ``exclude`` (axis: label)."""
    exclude: list[dict[str, str]] = []
    tables: list[Table] = Field(min_length=1)

    def cells(self) -> list[Cell]:
        """Return every experiment; the last axis varies fastest. Raise ParamsError if two have the same name."""
        cells: dict[str, Cell] = {}
        for labels in itertools.product(*self.axes.values()):
            levels = dict(zip(self.axes, labels, strict=True))
            if any(out.items() <= levels.items() for out in self.exclude):
                continue
            parts = [self.settings, *(self.axes[axis][label] for axis, label in levels.items())]
            presets = [name for part in parts for name in part.get(LAID, [])]
            settings = dict(flat(parse_yaml(laid(presets), LAID))) if presets else {}
            settings |= {key: value for part in parts for key, value in part.items() if key != LAID}
            allowed = (re.sub(r"[^A-Za-z0-9.]+", "-", label.replace(" %", "pct")).strip("-.") for label in labels)
            name = "-".join([self.name, *allowed])  # of characters that git allows
            if name in cells:
                raise ParamsError(f"{SWEEPS}/{self.name}.yaml: two experiments have the name {name}; change a label")
            cells[name] = Cell(name, levels, settings)
        return list(cells.values())

    @model_validator(mode="after")
    def _check(self) -> "Sweep":
        seen = set(self.settings) - {LAID}
        for axis, levels in self.axes.items():
            keys = {key for level in levels.values() for key in level} - {LAID}
            if any(set(level) - {LAID} != keys for level in levels.values()):
                raise ValueError(f"the levels of {axis} do not all set the same keys")
            if keys & seen:
                raise ValueError(f"{', '.join(sorted(keys & seen))} is set by {axis} and also elsewhere")
            seen |= keys
        for axis, label in (excluded for combination in self.exclude for excluded in combination.items()):
            _require("axis", [axis], self.axes)
            _require(f"level of {axis}", [label], self.axes[axis])
        for table in self.tables:
            try:
                table.check(self.axes)
            except ValueError as error:
                raise ValueError(f"table '{table.title}': {error}") from error
        return self


def available() -> list[str]:
    """Return the names of all sweeps. Raise ParamsError if there are none."""
    names = sorted(path.stem for path in SWEEPS.glob("*.yaml"))
    if not names:
        raise ParamsError(f"there are no sweeps here ({SWEEPS}/*.yaml); run from the project's root")
    return names


def load_sweep(name: str) -> Sweep:
    """Read a sweep. Raise ParamsError for an unknown name and for a mistake in the file."""
    if name not in (known := available()):
        raise ParamsError(unknown_name("sweep", name, known))
    path = SWEEPS / f"{name}.yaml"
    content = read_yaml(path)
    return parse_section(Sweep, {**content, "name": name} if isinstance(content, dict) else content, str(path))


def size_of(label: str) -> float:
    """Return the number in a label such as 10 or 10 %; 0 if the label is not a number."""
    found = re.fullmatch(r"(\d+(\.\d+)?)( ?%)?", label)
    return float(found[1]) if found else 0.0


def leaves(node: object, labels: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return the values of nested mappings, each with its keys."""
    if not isinstance(node, dict):
        return [(labels, node)]
    return [leaf for label, value in node.items() for leaf in leaves(value, (*labels, str(label)))]


def _require(what: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(unknown_name(what, name, known))
