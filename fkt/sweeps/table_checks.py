"""Whether a table fits the axes of its sweep; every mistake is a ValueError that says where it is and what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fkt.core.errors import unknown_name
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.table_spec import METRIC, MODE, Levels, Table


def check_table(table: Table, axes: Mapping[str, Levels]) -> None:
    """Raise ValueError for a table that names a dimension, a level or a metric that there is not."""
    if not table.rows or not table.columns or len(set(table.dimensions)) < len(table.dimensions):
        raise ValueError("rows and columns need a dimension each, and none of them twice")
    if not table.modes:
        if table.metrics or table.figure or table.choice or table.reach or not table.published:
            raise ValueError("a table without modes holds published figures and nothing else")
    else:
        _check_dimensions(table, axes)
    _check_published(table, axes)
    _check_figure(table, axes)
    _check_answers(table, axes)


def require_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError where a name is not among those that there are."""
    if name not in (names := list(known)):
        raise ValueError(unknown_name(what, name, names))


def _check_dimensions(table: Table, axes: Mapping[str, Levels]) -> None:
    for name in table.dimensions:
        require_known("dimension", name, [*axes, MODE, METRIC])
    for name in table.metrics:
        require_known("metric", name, METRICS)
    for name in (*axes, MODE, METRIC):
        count = len(table.levels(axes, name))
        if count != 1 and name not in table.dimensions:
            raise ValueError(f"{name} has {count} levels and stands neither in rows nor in columns")


def _check_published(table: Table, axes: Mapping[str, Levels]) -> None:
    """Rows may be of others' methods alone, but a figure must stand in one of the table's columns."""
    for published in table.published:
        published.check(len(table.rows), len(table.columns))
        for _, column, _ in published.figures(len(table.rows)):
            for dimension, level in zip(table.columns, column, strict=True):
                if table.modes:
                    require_known(f"{dimension} of a published figure", level, table.levels(axes, dimension))


def _check_figure(table: Table, axes: Mapping[str, Levels]) -> None:
    if table.figure is None:
        return
    require_known("x, which must be a dimension of the table,", table.figure.x, table.dimensions)
    require_known("hue", table.figure.hue, [*axes, MODE, METRIC])
    for name in table.figure.metrics or []:
        require_known("metric of this table", name, table.metrics)


def _check_answers(table: Table, axes: Mapping[str, Levels]) -> None:
    named: list[str] = []
    if (choice := table.choice) is not None:
        require_known("axis", choice.axis, axes)
        named += [choice.by, choice.judge]
    if (reach := table.reach) is not None:
        for axis in (reach.axis, reach.along):
            require_known("axis", axis, axes)
        for level in (reach.base, reach.other):
            require_known(f"level of {reach.axis}", level, axes[reach.axis])
        named += [reach.by, *reach.costs]
    for name in named:
        require_known("metric", name, METRICS)
