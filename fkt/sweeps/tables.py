"""A table of a sweep in Markdown: ours, and the published figures beside it, each row marked with its source."""

from __future__ import annotations

from fkt.report.tables import ABSENT, PLUS_MINUS, markdown_table
from fkt.sweeps.grid import Grid, Key, shown
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.table_spec import METRIC
from fkt.sweeps.written import as_printed, written

MISSING = "missing"


def caption(grid: Grid) -> str:
    """Say what the numbers of a table are; empty for one that holds published figures alone."""
    if not grid.entries:
        return ""
    metrics = grid.table.metrics
    named = f"{METRICS[metrics[0]].label}. " if len(metrics) == 1 else ""
    if all(METRICS[metric].is_cost for metric in metrics):
        return f"{named}Ours: mean over seeds, {PLUS_MINUS} sample standard deviation where they differ."
    if all(METRICS[metric].signed for metric in metrics):
        return f"{named}Ours: mean over seeds [interval over seeds and test images]."
    return f"{named}Ours: mean {PLUS_MINUS} sample standard deviation over seeds (number of seeds)."


def grid_table(grid: Grid) -> str:
    """Return the table.

    Published figures stand below our row of the same name, but where none is of our dataset: then all of them come
    after ours.
    """
    lines = [(row, _our_line(grid, row)) for row in grid.rows if _is_ours(grid, row)]
    for one in grid.published:
        figures = [as_printed(one.figures[key]) if key in one.figures else "" for key in grid.columns]
        below = [at for at, (row, _) in enumerate(lines) if row == one.row and not grid.elsewhere]
        at = below[-1] + 1 if below else len(lines)
        lines.insert(at, (one.row, [_label(grid, one.row), mark(grid, one.source), *figures]))
    head = [_capital(", ".join(grid.table.rows)), "Source"]
    head += [", ".join(map(shown, grid.table.columns, column)) for column in grid.columns]
    return markdown_table(head, [line for _, line in lines])


def source_notes(grid: Grid) -> list[str]:
    """Return what the marks in a table stand for."""
    notes = [f"{mark(grid, at)}: {one.source}. {one.conditions}." for at, one in enumerate(grid.sources)]
    if grid.elsewhere:
        notes.insert(0, "**None of the published figures is of our dataset: they do not compare with ours.**")
    return notes


def mark(grid: Grid, source: int) -> str:
    """Return how a source's figures are marked: as published, with a number, and the dataset if they have one."""
    dataset = grid.sources[source].dataset
    return f"published [{source + 1}]{f' {dataset}' if dataset else ''}"


def _is_ours(grid: Grid, row: Key) -> bool:
    return any((row, column) in grid.entries for column in grid.columns)


def _our_line(grid: Grid, row: Key) -> list[str]:
    return [_label(grid, row), "ours", *(_ours(grid, row, column) for column in grid.columns)]


def _ours(grid: Grid, row: Key, column: Key) -> str:
    entry = grid.entries.get((row, column))
    if entry is None:
        return ""
    if entry.value is None:
        return MISSING if entry.missing else ABSENT
    return written(entry.value, entry.levels[METRIC])


def _label(grid: Grid, row: Key) -> str:
    return ", ".join(map(shown, grid.table.rows, row))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
