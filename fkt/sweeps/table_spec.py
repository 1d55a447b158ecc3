"""The tables of a sweep: which numbers stand in them, what is drawn, and what is answered below them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fkt.params.base import Section
from fkt.sweeps.published import Published

MODE, METRIC = "mode", "metric"
"""The dimensions of a table that every experiment has inside it; the others are the sweep's axes."""
Settings = dict[str, Any]
"""Dotted keys of params.yaml and their values; under ``presets`` the names of presets that are laid first."""
Levels = dict[str, Settings]
"""The levels of an axis by the label that a table shows."""


class Figure(Section):
    """How a table is drawn; every dimension that is neither x nor hue gets a panel for each level."""

    x: str
    hue: str
    line: bool
    """Whether the points of a hue are joined: only where x has an order."""
    metrics: list[str] | None = None
    """Which of the table's metrics are drawn; null is all of them."""


class Choice(Section):
    """A level that validation images choose, and what choosing by them costs on test images."""

    axis: str
    by: str
    """Metric on validation images."""
    judge: str
    """Metric on test images."""


class Reach(Section):
    """When one level of an axis reaches what another has at the end of a second axis."""

    axis: str
    base: str
    """Level whose result at the last level of ``along`` is to be reached."""
    other: str
    along: str
    """Axis of growing budgets."""
    by: str
    """Metric that is to be reached."""
    costs: list[str]
    """Metrics that tell what it took."""


class Table(Section):
    """One table: its dimensions, which numbers stand in it, and the published figures beside them."""

    title: str
    rows: list[str]
    columns: list[str]
    modes: list[str]
    """Sections of metrics/summary.json; none for a table of published figures alone."""
    metrics: list[str]
    published: list[Published] = []
    figure: Figure | None = None
    choice: Choice | None = None
    reach: Reach | None = None

    @property
    def dimensions(self) -> list[str]:
        """Of the rows and then of the columns."""
        return [*self.rows, *self.columns]

    def levels(self, axes: Mapping[str, Levels], dimension: str) -> list[str]:
        """Return the levels of one of the dimensions, in order."""
        if dimension == MODE:
            return self.modes
        return self.metrics if dimension == METRIC else list(axes[dimension])
