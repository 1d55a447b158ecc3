"""What is printed about a prepared dataset: a table of classes and counts, and what was noticed on the way."""

from __future__ import annotations

from collections.abc import Sequence

from fkt.data.meta import SPLITS, Meta
from fkt.raw.notes import SHOWN


def class_table(meta: Meta) -> str:
    """Return one line for each class with its images in train, val and test, and a line of sums."""
    rows: list[list[str]] = [["class", *SPLITS]]
    rows += [[name, *(str(meta.counts[part][label]) for part in SPLITS)] for label, name in enumerate(meta.classes)]
    rows.append(["all", *(str(sum(meta.counts[part])) for part in SPLITS)])
    width = max(len(name) for name, *_ in rows)
    return "\n".join(name.ljust(width) + "".join(cell.rjust(8) for cell in cells) for name, *cells in rows)


def remarks(meta: Meta) -> list[str]:
    """Return what preparation noticed, in sentences; long lists of files are cut (meta.json has them whole)."""
    notes, lines = meta.notes, []
    if "ignored_files" in notes:
        ignored = notes["ignored_files"]
        lines.append(f"{ignored['count']} files were left out ({ignored['why']}), such as {ignored['examples'][0]}")
    if "skipped" in notes:
        lines += _listed("unreadable files were left out", notes["skipped"])
    if "duplicates" in notes:
        found = notes["duplicates"]
        lines.append(f"{found['images']} images are exact copies of each other ({found['groups']} groups)")
        if found["dropped"]:
            lines += _listed("copies of held-out images were dropped", found["dropped"])
    if conflicting := notes.get("conflicting_labels"):
        groups = [", ".join(f"{name} ({label})" for name, label in group.items()) for group in conflicting]
        lines += _listed("groups of copies have contradicting labels (kept, each within one split)", groups)
    if "masks" in notes:
        masks = notes["masks"]
        empty = f"; {masks['empty']} of them are empty, crops of these are as they are drawn" if masks["empty"] else ""
        lines.append(f"{masks['images']} training images have masks ({masks['kind']}){empty}")
    for part in SPLITS:
        absent = [name for name, count in zip(meta.classes, meta.counts[part], strict=True) if count == 0]
        if absent:
            lines.append(f"{part} has no images of {', '.join(absent)}")
    return lines


def _listed(what: str, items: Sequence[str]) -> list[str]:
    more = [f"  and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [f"{len(items)} {what}:", *(f"  {item}" for item in items[:SHOWN]), *more]
