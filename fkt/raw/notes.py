"""The notes of a preparation: what meta.json records about a source, what is printed about it, and the data card."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, plural
from fkt.core.files import one_line
from fkt.data.meta import SPLITS, Meta
from fkt.params import Prepare
from fkt.raw.source import HEIC_REMEDY, HEIC_SUFFIXES, Raw
from fkt.raw.splits import Ints, conflicts

SHOWN = 20
"""The number of files that an error or a printed note lists; meta.json has all of them."""
KINDS = 6
"""The number of extensions of ignored files that are listed."""
UNEQUAL = 10
"""Ratio of the largest to the smallest class from which accuracy says little about the small ones."""
FINDINGS = (
    "limit", "cropped images", "enlarged images", "color removed", "ignored files", "ignored folders",
    "unreadable files", "identical images", "copies across splits", "conflicting labels", "conflicts left out",
    "groups", "groups across splits", "masks", "unequal classes", "classes without images",
)  # fmt: skip
"""What a preparation looks for, in the order of the data card."""
HOW = {
    "crop": "the shorter side was resized to {size}, then the center was cut out",
    "pad": "the longer side was resized to {size}, and the rest of the square is black",
    "stretch": "both sides were resized to {size}",
}
"""What each ``prepare.fit`` does."""
ELONGATED = {
    "crop": (
        "cropped images",
        "lost more than a quarter of their area, because only the center square is kept; prepare.fit: pad keeps the "
        "whole image",
    ),
    "pad": ("padded images", "are black on more than a quarter of their area"),
    "stretch": ("stretched images", "had one side more than a third longer than the other"),
}
"""What each did to images whose longer side is more than 4/3 of the shorter: title and text."""
PART_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


def shortened(lines: Sequence[str]) -> list[str]:
    """Return the first SHOWN lines, and a line with the number of the others. File names are made printable."""
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*map(one_line, lines[:SHOWN]), *more]


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
    names: Sequence[str], labels: Ints, groups: Ints, dropped: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the notes on identical images: their number, the dropped ones, and those with different labels.

    groups: (N,) equal for identical images. dropped: (N,) those with a copy in a split of the source that keeps it.
    """
    sizes = np.bincount(groups)
    if sizes.max() == 1:
        return {}
    across, mixed = set(groups[dropped].tolist()), conflicts(groups, labels)
    return {
        "duplicates": {
            "groups": int((sizes > 1).sum()),
            "images": int(sizes[sizes > 1].sum()),
            "dropped": [names[position] for position in np.flatnonzero(dropped).tolist()],
        },
        "conflicting_labels": [
            {names[position]: classes[labels[position]] for position in group.tolist()} for group in mixed
        ],
        "conflicts_across_splits": sum(groups[group[0]] in across for group in mixed),
    }


def split_notes(parts: NDArray[np.str_], final: NDArray[np.str_], raw: Raw, params: Prepare) -> dict[str, Any]:
    """Return the notes on where the images of each split come from; parts, final: (N,), see fkt.raw.splits."""
    origins = dict(raw.origins)
    for part, fraction in (("val", params.val_fraction), ("test", params.test_fraction)):
        if (parts[final == part] != part).any():
            share = f"{100 * fraction:g} % of the training images of each class"
            share = share if params.groups is None else f"whole groups, about {share}"
            origins[part] = f"{share}, drawn at random (prepare.{part}_fraction)"
    if "val" in parts and "test" not in parts:
        origins["test"] += (
            ", because the source has no test images; to test on its validation images instead, set "
            "prepare.val_as_test: true"
        )
    limit = {} if params.limit_per_class is None else {"per_class": params.limit_per_class, "images": len(raw)}
    return {"source": {part: int((parts == part).sum()) for part in SPLITS}, "origins": origins, "limit": limit}


def pixel_notes(sizes: Ints, color: NDArray[np.bool_], bordered: NDArray[np.bool_], params: Prepare) -> dict[str, Any]:
    """Return the notes on the raw images of the prepared ones; see fkt.raw.pixels.surveyed for the arrays."""
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    resized = longer if params.fit == "pad" else shorter
    return {
        "raw_pixels": {
            "shorter_side": [int(shorter.min()), int(shorter.max())],
            "longer_side": [int(longer.min()), int(longer.max())],
            "enlarged": int((resized < params.image_size).sum()),
            "elongated": int((4 * shorter < 3 * longer).sum()),
            "color": int(color.sum()),
            "bordered": int(bordered.sum()),
        }
    }


def class_table(meta: Meta) -> str:
    """Return one line per class with its number of images in train, val and test, and a line of sums.

    Of many classes, the first SHOWN have a line.
    """
    rows: list[list[str]] = [["class", *SPLITS]]
    rows += [
        [one_line(name), *(str(meta.counts[part][label]) for part in SPLITS)]
        for label, name in enumerate(meta.classes[:SHOWN])
    ]
    if len(meta.classes) > SHOWN:
        rows.append([f"and {len(meta.classes) - SHOWN} more"])
    rows.append(["all", *(str(sum(meta.counts[part])) for part in SPLITS)])
    width = max(len(name) for name, *_ in rows)
    return "\n".join(name.ljust(width) + "".join(cell.rjust(8) for cell in cells) for name, *cells in rows)


def data_card(meta: Meta) -> list[tuple[str, str]]:
    """Return what there is to know about a prepared dataset as (title, text), in the order in which to show it."""
    notes, total, size = meta.notes, sum(map(sum, meta.counts.values())), meta.image_size
    rows = [("Dataset", f"{meta.dataset}: {plural(total, 'image')}, {plural(meta.num_classes, 'class', 'classes')}")]
    rows += split_rows(meta)
    if raw := notes.get("raw_pixels"):
        sides = ", ".join(f"{name} side {_span(*raw[f'{name}_side'])}" for name in ("shorter", "longer"))
        without = f" without {notes['border']}" if "border" in notes else ""
        rows.append(("Raw pixels", f"{sides}{without}; color in {raw['color']:,} of {plural(total, 'image')}"))
    color = "grayscale" if meta.channels == 1 else "RGB"
    rows.append(("Prepared pixels", f"{size} x {size}, {color}; {HOW[meta.fit].format(size=size)}"))
    found = findings(meta)
    for title in (ELONGATED[meta.fit][0] if title == "cropped images" else title for title in FINDINGS):
        text, items = found.get(title, ("none", []))
        few = [*map(one_line, items[:3]), *["..."] * (len(items) > 3)]
        rows.append((title.capitalize(), "; ".join([text, *few])))
    return rows


def split_rows(meta: Meta) -> list[tuple[str, str]]:
    """Return (title, text) for each split: its number of images, and where they come from."""
    rows = []
    for part in SPLITS:
        count, found = sum(meta.counts[part]), meta.notes.get("source", {}).get(part, 0)
        share = f"{count:,} of {found:,}" if found > count else f"{count:,}"
        origin = one_line(meta.notes.get("origins", {}).get(part, "unknown origin"))
        rows.append((f"{PART_NAMES[part]} images", f"{share}, {origin}"))
    return rows


def printed_notes(meta: Meta) -> list[str]:
    """Return the findings of a preparation as lines of text. Long lists of files are shortened."""
    lines = []
    for title, (text, items) in findings(meta).items():
        lines += [f"{title}: {text}", *(f"  {item}" for item in shortened(items))]
    return lines


def findings(meta: Meta) -> dict[str, tuple[str, list[str]]]:
    """Return what a preparation found: title -> text, and the names of the files. See FINDINGS for the titles."""
    notes, found = meta.notes, dict[str, tuple[str, list[str]]]()
    total = sum(map(sum, meta.counts.values()))
    if limit := notes.get("limit"):
        each = f"at most {limit['per_class']:,} of each class and split"
        found["limit"] = f"{each}, drawn at random; the source has {plural(limit['images'], 'image')}", []
    raw = notes.get("raw_pixels", {})
    if raw.get("bordered"):
        found["cut borders"] = f"{notes['border']} was removed from {raw['bordered']:,} of {plural(total, 'image')}", []
    if long := raw.get("elongated"):
        title, what = ELONGATED[meta.fit]
        found[title] = f"{long:,} of {total:,} {what}", []
    if raw.get("enlarged"):
        side = "the longer side" if meta.fit == "pad" else "a side"
        found["enlarged images"] = f"{raw['enlarged']:,} of {total:,}: {side} is under {meta.image_size} pixels", []
    if raw.get("color") and meta.channels == 1:
        found["color removed"] = f"from {raw['color']:,} of {plural(total, 'image')} (prepare.channels: 1)", []
    if ignored := notes.get("ignored_files"):
        kinds = sorted((-count, f"{count:,} {kind} ({path})") for kind, (count, path) in ignored["kinds"].items())
        listed = ", ".join(one_line(text) for _, text in kinds[:KINDS])
        listed += f", and {plural(len(kinds) - KINDS, 'other extension')}" if len(kinds) > KINDS else ""
        remedy = f"; {HEIC_REMEDY}" if HEIC_SUFFIXES.intersection(ignored["kinds"]) else ""
        found["ignored files"] = f"{ignored['count']:,} ({ignored['why']}): {listed}{remedy}", []
    if folders := notes.get("ignored_folders"):
        counted = [f"{name}: {plural(count, 'image')}" for name, count in sorted(folders.items())]
        found["ignored folders"] = f"{len(folders):,}, with {plural(sum(folders.values()), 'image')}", counted
    if skipped := notes.get("skipped"):
        found["unreadable files"] = f"{len(skipped):,} left out", skipped
    if same := notes.get("duplicates"):
        found["identical images"] = f"{same['images']:,} in {plural(same['groups'], 'group')}, each in one split", []
        if dropped := same["dropped"]:
            why = "left out, because a copy is in the test or validation set of the source"
            found["copies across splits"] = f"{len(dropped):,} {why}", dropped
    if mixed := notes.get("conflicting_labels"):
        across = notes["conflicts_across_splits"]
        text = f"{plural(len(mixed), 'group')} of identical images, {across:,} of them across splits of the source"
        pairs = [", ".join(f"{name} ({label})" for name, label in group.items()) for group in mixed]
        found["conflicting labels"] = text, pairs
    if left_out := notes.get("conflicts_dropped"):
        found["conflicts left out"] = f"{len(left_out):,} identical images with different labels", left_out
    if groups := notes.get("groups"):
        low, middle, high = groups["sizes"]
        text = f"{groups['count']:,} ({groups['rule']}) of {_span(low, high)} images, median {middle:,}"
        text += f"; in the test set: {groups['test']:,}"
        text += f"; with images of several classes: {groups['several_classes']:,}" if groups["several_classes"] else ""
        text += f"; images that are in no group: {groups['alone']:,}" if groups["alone"] else ""
        found["groups"] = text, []
        if related := groups["dropped"]:
            why = "left out, because an image of the same group is in the test or validation set of the source"
            found["groups across splits"] = f"{len(related):,} {why}", related
    if masks := notes.get("masks"):
        empty = f", {masks['empty']:,} of them empty: these crops are not drawn again" if masks["empty"] else ""
        found["masks"] = f"{masks['kind']}, of {plural(masks['images'], 'training image')}{empty}", []
    train = list(zip(meta.counts["train"], map(one_line, meta.classes), strict=True))
    (most, large), (least, small) = (pick(train, key=itemgetter(0)) for pick in (max, min))
    if most >= UNEQUAL * least > 0:
        sizes = f"{most:,} training images of {large}, {least:,} of {small}"
        remedy = "small classes hardly change the accuracy (report.metric: balanced_accuracy counts all classes alike)"
        found["unequal classes"] = f"{sizes}; {remedy}", []
    counts = [(name, part, meta.counts[part][label]) for part in SPLITS for label, name in enumerate(meta.classes)]
    if absent := [f"{name} ({part})" for name, part, count in counts if count == 0]:
        found["classes without images"] = f"{len(absent):,}", absent
    return found


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
