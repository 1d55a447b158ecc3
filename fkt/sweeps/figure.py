"""The figure of a sweep: means with their spread, filled where they are ours, hollow where they are published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from fkt.report.figures import save_figure, style
from fkt.sweeps.grid import Grid
from fkt.sweeps.panels import Panel, Point, panels_of

Color = tuple[float, float, float]
PER_ROW = 3
WIDTH, HEIGHT = 5.4, 3.4
"""Of a panel, in inches."""
LONG = 36
"""Characters of all x labels together; beyond that they stand below each other, and the panel lies on its side."""
SPREAD = 0.6
"""Share of the room between two x levels over which the hues stand beside each other."""


@dataclass(frozen=True)
class Look:
    """How the points of one hue are drawn."""

    label: str
    color: Color
    shift: float
    """Along x, in levels, so that hues do not cover each other."""
    hollow: bool
    line: bool


def draw(grids: Sequence[Grid], title: str, path: Path) -> bool:
    """Draw every table that asks for it, and say whether there is anything of ours; nothing is written where not."""
    drawn = [(grid, panel) for grid in grids if grid.table.figure is not None for panel in panels_of(grid)]
    if all(panel.is_published for _, panel in drawn):
        return False
    with style("whitegrid"):
        columns = min(PER_ROW, len(drawn))
        rows = math.ceil(len(drawn) / columns)
        figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows + 0.6), layout="constrained")
        places = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (grid, panel) in zip(places, drawn, strict=False):
            _draw_panel(axes, grid, panel)
        _share_limits([(axes, grid, panel) for axes, (grid, panel) in zip(places, drawn, strict=False)])
        for axes in places[len(drawn) :]:
            axes.remove()
        marks = "ours, with standard deviation or interval"
        if any(panel.is_published for _, panel in drawn):
            marks = f"filled: {marks}; hollow: published"
        figure.suptitle(f"{title}\n{marks}", fontsize=11)
        save_figure(figure, path)
    return True


def _draw_panel(axes: mpl.axes.Axes, grid: Grid, panel: Panel) -> None:
    assert grid.table.figure is not None
    line, colors = grid.table.figure.line, _colors(grid)
    levels = [level for level in _levels(grid) if any(point.x == level for point in panel.points)]
    hues = [hue for hue in colors if any(point.hue == hue for point in panel.points)]
    sideways = _is_sideways(grid)
    if panel.is_signed:
        (axes.axvline if sideways else axes.axhline)(0.0, color="black", linewidth=1, zorder=1)
    for at, hue in enumerate(hues):
        shift = 0.0 if line else SPREAD * ((at + 0.5) / len(hues) - 0.5)
        points = [point for point in panel.points if point.hue == hue]
        _draw_points(axes, points, levels, Look(hue, colors[hue], shift, panel.is_published, line), sideways)
    if sideways:
        axes.set_yticks(range(len(levels)), levels)
        axes.set(ylim=(len(levels) - 0.5, -0.5), xlabel=panel.unit)
    else:
        axes.set_xticks(range(len(levels)), levels)
        axes.set(xlim=(-0.5, len(levels) - 0.5), xlabel=grid.table.figure.x, ylabel=panel.unit)
    axes.set_title(panel.title, fontsize=10, style="italic" if panel.is_published else "normal")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, borderaxespad=0.2)


def _draw_points(
    axes: mpl.axes.Axes, points: Sequence[Point], levels: Sequence[str], look: Look, sideways: bool
) -> None:
    places = [levels.index(point.x) + look.shift for point in points]
    means = [point.mean for point in points]
    bars = [[point.below for point in points], [point.above for point in points]]
    x, y, x_bars, y_bars = (means, places, bars, None) if sideways else (places, means, None, bars)
    axes.errorbar(
        x,
        y,
        xerr=x_bars,
        yerr=y_bars,
        color=look.color,
        label=look.label,
        marker="o",
        markersize=6,
        markerfacecolor="white" if look.hollow else look.color,
        linestyle=("--" if look.hollow else "-") if look.line else "none",
        capsize=3,
    )


def _share_limits(drawn: Sequence[tuple[mpl.axes.Axes, Grid, Panel]]) -> None:
    """Give panels of one table the same scale, so that ours and published can be compared by eye.

    But where the published figures are of another dataset: these do not compare.
    """
    for grid in {id(grid): grid for _, grid, _ in drawn if not grid.elsewhere}.values():
        for unit in {panel.unit for _, other, panel in drawn if other is grid}:
            alike = [axes for axes, other, panel in drawn if other is grid and panel.unit == unit]
            name = "xlim" if _is_sideways(grid) else "ylim"
            limits = [getattr(axes, f"get_{name}")() for axes in alike]
            shared = min(low for low, _ in limits), max(high for _, high in limits)
            for axes in alike:
                axes.set(**{name: shared})


def _is_sideways(grid: Grid) -> bool:
    assert grid.table.figure is not None
    return not grid.table.figure.line and sum(map(len, _levels(grid))) > LONG


def _colors(grid: Grid) -> Mapping[str, Color]:
    """A color for each hue of a table, the same in all of its panels."""
    hues = list(dict.fromkeys(point.hue for panel in panels_of(grid) for point in panel.points))
    return dict(zip(hues, _palette(len(hues)), strict=True))


def _palette(count: int) -> list[Color]:
    """Return seaborn's ten colors that color-blind readers tell apart, and as many more as are needed."""
    first = list(sns.color_palette("colorblind"))
    return [*first[:count], *sns.color_palette("husl", max(0, count - len(first)))]


def _levels(grid: Grid) -> list[str]:
    """All x levels of a table, ours first."""
    return list(dict.fromkeys(point.x for panel in panels_of(grid) for point in panel.points))
