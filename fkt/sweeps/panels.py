"""The points of a sweep's figure, panel by panel: ours apart from each source's. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fkt.sweeps.grid import Grid, shown
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.published import number
from fkt.sweeps.table_spec import METRIC, MODE, Figure
from fkt.sweeps.tables import mark
from fkt.sweeps.values import Value


@dataclass(frozen=True)
class Point:
    """One mean with its spread, in the units of the table."""

    x: str
    hue: str
    mean: float
    below: float
    """How far the bar reaches down; 0 where no spread is known."""
    above: float


@dataclass(frozen=True)
class Panel:
    """What is drawn in one pair of axes."""

    title: str
    unit: str
    points: Sequence[Point]
    is_published: bool
    is_signed: bool
    """Whether 0 means something to a reader."""


def panels_of(grid: Grid) -> list[Panel]:
    """Return the panels of a table: ours, then the published ones, each of one source; empty ones are left out."""
    figure = grid.table.figure
    assert figure is not None
    found: dict[tuple[str, ...], list[tuple[str, Point]]] = {}
    for entry in grid.entries.values():
        if entry.value is not None and entry.levels[METRIC] in _drawn(grid):
            key = ("ours", *_panel_key(grid, entry.levels))
            found.setdefault(key, []).append((entry.levels[METRIC], _our_point(figure, entry.levels, entry.value)))
    for row in grid.published:
        for column, text in row.figures.items():
            levels = {
                METRIC: grid.table.metrics[0],
                **dict(zip(grid.table.dimensions, (*row.row, *column), strict=True)),
            }
            if levels[METRIC] in _drawn(grid):
                key = (mark(grid, row.source), *_panel_key(grid, levels))
                found.setdefault(key, []).append((levels[METRIC], _their_point(figure, levels, text)))
    return [_panel(key, points) for key, points in found.items()]


def _panel(key: tuple[str, ...], found: Sequence[tuple[str, Point]]) -> Panel:
    labels = list(dict.fromkeys(METRICS[metric].label for metric, _ in found))
    unit = labels[0] if len(labels) == 1 else "%" if all(label.endswith("%") for label in labels) else ""
    is_signed = all(METRICS[metric].signed for metric, _ in found)
    return Panel(", ".join(key), unit, [point for _, point in found], key[0] != "ours", is_signed)


def _panel_key(grid: Grid, levels: Mapping[str, str]) -> tuple[str, ...]:
    """Levels of the dimensions that are neither x nor hue."""
    figure = grid.table.figure
    assert figure is not None
    names = [name for name in grid.table.dimensions if name not in (figure.x, figure.hue)]
    if len(_drawn(grid)) == 1:
        names = [name for name in names if name != METRIC]
    return tuple(shown(name, levels[name]) if name in (MODE, METRIC) else f"{name} {levels[name]}" for name in names)


def _drawn(grid: Grid) -> list[str]:
    assert grid.table.figure is not None
    return grid.table.figure.metrics or grid.table.metrics


def _our_point(figure: Figure, levels: Mapping[str, str], value: Value) -> Point:
    scale = METRICS[levels[METRIC]].scale
    below = above = scale * (value.std or 0.0)
    if value.low is not None and value.high is not None:
        below, above = scale * (value.mean - value.low), scale * (value.high - value.mean)
    x, hue = shown(figure.x, levels[figure.x]), shown(figure.hue, levels[figure.hue])
    return Point(x, hue, scale * value.mean, below, above)


def _their_point(figure: Figure, levels: Mapping[str, str], text: str) -> Point:
    mean, std = number(text)
    x, hue = (shown(name, levels.get(name, "published")) for name in (figure.x, figure.hue))
    return Point(x, hue, mean, std or 0.0, std or 0.0)
