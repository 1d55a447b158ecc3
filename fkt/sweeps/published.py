"""Figures that others have published, as they printed them, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from fkt.params.base import Section

_PRINTED = re.compile(r"([-+]?\d+(?:\.\d+)?)(?: \+- (\d+(?:\.\d+)?))?")


class Published(Section):
    """Figures of one source under one set of conditions."""

    source: str = Field(min_length=10)
    """Where they are printed: the paper's number, and the table, poster or page."""
    conditions: str = Field(min_length=3)
    """Dataset, network and protocol, as far as the source says, and what is not certain about them."""
    dataset: str | None = None
    """Name in params.yaml of the dataset they are of: where ours is another, they stand apart. Null: always shown."""
    values: dict[str, Any]
    """Printed figures, nested by the table's rows and then by its columns: ``92.20 +- 0.11``, digits as printed."""

    def check(self, num_rows: int, num_columns: int) -> None:
        """Raise ValueError where the figures are not nested as the table is, or are not written as printed."""
        for keys, text in _leaves(self.values, ()):
            shown = " / ".join(keys)
            if len(keys) != num_rows + num_columns:
                raise ValueError(f"published '{shown}' is not nested by {num_rows} rows and {num_columns} columns")
            if not isinstance(text, str) or not _PRINTED.fullmatch(text):
                raise ValueError(
                    f"published '{shown}' is {text!r}; write it as printed, in quotes: '92.20' or '92.20 +- 0.11'"
                )

    def figures(self, num_rows: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str]]:
        """Yield row, column and printed figure."""
        for keys, text in _leaves(self.values, ()):
            yield keys[:num_rows], keys[num_rows:], text


def number(text: str) -> tuple[float, float | None]:
    """Return the mean and the deviation of a printed figure."""
    found = _PRINTED.fullmatch(text)
    assert found is not None, text
    return float(found[1]), None if found[2] is None else float(found[2])


def _leaves(node: object, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*keys, str(key)))
    else:
        yield keys, node
