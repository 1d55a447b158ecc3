"""The notes of a preparation: what meta.json records about a source, and what is printed about it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData
from fkt.data.meta import SPLITS, Meta
from fkt.raw.splits import DROPPED, Ints, conflicts

SHOWN = 20
"""The number of files that an error or a printed note lists; meta.json has all of them."""


def shortened(lines: Sequence[str]) -> list[str]:
    """Return the first SHOWN lines, and a line with the number of the others."""
    return [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]


def files_error(title: str, reasons: Mapping[str, str], total: int, remedy: str) -> CorruptData:
    """Return the error for files that cannot be used; reasons: name -> reason."""
    lines = shortened([f"{name}: {reason}" for name, reason in sorted(reasons.items())])
    return CorruptData("\n       ".join([f"{title}: {len(reasons)} of {total}", *lines, remedy]))


def unreadable_note(failures: Mapping[str, str], total: int, on_corrupt: str) -> dict[str, Any]:
    """Return the note on unreadable files. Raises CorruptData with their names unless they are skipped."""
    if failures and on_corrupt != "skip":
        remedy = "repair or delete them, or set prepare.on_corrupt: skip to leave them out"
        raise files_error("image files that cannot be read", failures, total, remedy)
    return {"skipped": [f"{name}: {reason}" for name, reason in sorted(failures.items())]} if failures else {}


def duplicate_notes(
    names: Sequence[str], labels: Ints, groups: Ints, final: NDArray[np.str_], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the notes on identical images: their number, the dropped ones, and those with different labels."""
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
            {names[position]: classes[labels[position]] for position in group.tolist()}
            for group in conflicts(groups, labels)
        ],
    }


def class_table(meta: Meta) -> str:
    """Return one line per class with its number of images in train, val and test, and a line of sums."""
    rows: list[list[str]] = [["class", *SPLITS]]
    rows += [[name, *(str(meta.counts[part][label]) for part in SPLITS)] for label, name in enumerate(meta.classes)]
    rows.append(["all", *(str(sum(meta.counts[part])) for part in SPLITS)])
    width = max(len(name) for name, *_ in rows)
    return "\n".join(name.ljust(width) + "".join(cell.rjust(8) for cell in cells) for name, *cells in rows)


def printed_notes(meta: Meta) -> list[str]:
    """Return the notes of meta.json as lines of text. Long lists of files are shortened."""
    notes, lines = meta.notes, []
    if ignored := notes.get("ignored_files"):
        lines.append(f"ignored files: {ignored['count']} ({ignored['why']}), for example {ignored['examples'][0]}")
    if "skipped" in notes:
        lines += _listed("unreadable files, left out", notes["skipped"])
    if found := notes.get("duplicates"):
        lines.append(f"identical images: {found['images']} in {found['groups']} groups")
        if found["dropped"]:
            lines += _listed("dropped, because they are copies of validation or test images", found["dropped"])
    if conflicting := notes.get("conflicting_labels"):
        groups = [", ".join(f"{name} ({label})" for name, label in group.items()) for group in conflicting]
        lines += _listed("groups of identical images with different labels, each kept in one split", groups)
    if masks := notes.get("masks"):
        empty = f", {masks['empty']} of them empty: these crops are not drawn again" if masks["empty"] else ""
        lines.append(f"masks of training images ({masks['kind']}): {masks['images']}{empty}")
    for part in SPLITS:
        absent = [name for name, count in zip(meta.classes, meta.counts[part], strict=True) if count == 0]
        if absent:
            lines.append(f"no images in {part}: {', '.join(absent)}")
    return lines


def _listed(what: str, items: Sequence[str]) -> list[str]:
    return [f"{what}: {len(items)}", *(f"  {line}" for line in shortened(items))]
