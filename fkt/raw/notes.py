"""What meta.json notes about a source: files that could not be read, and exact duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData
from fkt.raw.partition import DROPPED
from fkt.raw.splits import Ints, conflicts

SHOWN = 20
"""How many files an error or a printed remark names before it only counts."""


def unreadable_note(failures: dict[str, str], on_corrupt: str) -> dict[str, Any]:
    """Return the note on unreadable files, or raise CorruptData naming them."""
    lines = [f"{name}: {reason}" for name, reason in sorted(failures.items())]
    if not failures or on_corrupt == "skip":
        return {"skipped": lines} if failures else {}
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
    raise CorruptData(
        f"image files that cannot be read: {len(failures)}\n       "
        + "\n       ".join(lines)
        + "\n       repair or delete them, or set prepare.on_corrupt: skip to leave them out"
    )


def duplicate_notes(
    names: Sequence[str], labels: Ints, groups: Ints, final: NDArray[np.str_], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the notes on exact duplicates: how many, which were dropped, which contradict each other."""
    sizes = np.bincount(groups)
    if sizes.max() == 1:
        return {}
    return {
        "duplicates": {
            "groups": int((sizes > 1).sum()),
            "images": int(sizes[sizes > 1].sum()),
            "dropped": [names[position] for position in np.flatnonzero(final == DROPPED).tolist()],
        },
        "conflicting_labels": [
            {names[position]: classes[labels[position]] for position in group}
            for group in (members.tolist() for members in conflicts(groups, labels))
        ],
    }
