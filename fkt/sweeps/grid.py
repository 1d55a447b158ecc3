"""A table of a sweep as rows and columns of numbers, ours and published ones. Formats nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fkt.report.summary import TRANSFER
from fkt.sweeps.matching import Gathered
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.published import Published
from fkt.sweeps.table_spec import METRIC, MODE, Levels, Table
from fkt.sweeps.values import Value, value_of

Key = tuple[str, ...]
"""Levels of the dimensions of a row, or of a column, in the table's order."""


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table."""

    levels: dict[str, str]
    """Dimension to level, all of them."""
    value: Value | None
    """None where the experiment is missing, or has no such number."""
    missing: bool
    """Whether the experiment is missing."""


@dataclass(frozen=True)
class PublishedRow:
    """A row of one source's figures."""

    row: Key
    source: int
    """Position in ``Grid.sources``."""
    figures: dict[Key, str]
    """Column to the figure as printed."""


@dataclass(frozen=True)
class Grid:
    """A table that can be written or drawn."""

    table: Table
    rows: list[Key]
    columns: list[Key]
    entries: dict[tuple[Key, Key], Entry]
    """Row and column; combinations that are no experiment of the sweep are absent."""
    sources: list[Published]
    published: list[PublishedRow]
    elsewhere: bool
    """Whether every published figure is of another dataset than ours."""


def fill(table: Table, axes: Mapping[str, Levels], gathered: Gathered) -> Grid:
    """Look up every number of a table, and put the published figures beside them."""
    sources, elsewhere = _sources(table, gathered)
    rows, columns, entries = [], [], {}
    if table.modes:
        every = {name: table.levels(axes, name) for name in (*axes, MODE, METRIC)}
        for levels in _product(every):
            where = {axis: levels[axis] for axis in axes}
            if gathered.is_cell(where):
                experiment = gathered.experiment(where)
                value = None if experiment is None else value_of(experiment, levels[MODE], levels[METRIC])
                place = tuple(levels[name] for name in table.rows), tuple(levels[name] for name in table.columns)
                entries[place] = Entry(levels, value, experiment is None)
        filled_rows, filled_columns = {row for row, _ in entries}, {column for _, column in entries}
        rows = [key for key in _keys(every, table.rows) if key in filled_rows]
        columns = [key for key in _keys(every, table.columns) if key in filled_columns]
    published = _published_rows(table, sources)
    rows += [key for key in dict.fromkeys(one.row for one in published) if key not in rows]
    columns += [key for key in dict.fromkeys(key for one in published for key in one.figures) if key not in columns]
    return Grid(table, rows, columns, entries, sources, published, elsewhere)


def shown(dimension: str, level: str) -> str:
    """Return a level as a reader sees it."""
    if dimension == METRIC:
        return METRICS[level].label if level in METRICS else level
    return level.replace("_minus_", " - ").removeprefix(TRANSFER) if dimension == MODE else level


def _sources(table: Table, gathered: Gathered) -> tuple[list[Published], bool]:
    """Choose the sources of our dataset and those of none; all of them where none is of ours."""
    ours = {experiment.params.get("dataset") for experiment in gathered.found.values()}
    near = [one for one in table.published if one.dataset is None or one.dataset in ours]
    return (near, False) if near or not table.published else (list(table.published), bool(table.modes))


def _published_rows(table: Table, sources: Sequence[Published]) -> list[PublishedRow]:
    rows = []
    for at, source in enumerate(sources):
        figures: dict[Key, dict[Key, str]] = {}
        for row, column, text in source.figures(len(table.rows)):
            figures.setdefault(row, {})[column] = text
        rows += [PublishedRow(row, at, found) for row, found in figures.items()]
    return rows


def _product(every: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    for combination in itertools.product(*every.values()):
        yield dict(zip(every, combination, strict=True))


def _keys(every: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[Key]:
    return list(itertools.product(*(every[name] for name in names)))
