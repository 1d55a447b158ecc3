"""Raw data to a prepared folder: decode, find duplicates, split, summarize, write."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, UserError
from fkt.core.files import file_digest, write_json
from fkt.data.meta import SPLITS, Meta, write_meta
from fkt.data.originals import FILE, LONGEST_SIDE, examples
from fkt.params import Prepare
from fkt.raw.datasets import read_source, source_folder
from fkt.raw.groups import group_keys, group_notes, united
from fkt.raw.masks import fill_masks
from fkt.raw.notes import duplicate_notes, pixel_notes, split_notes, unreadable_note
from fkt.raw.pixels import chunks, decode_into, mean_and_std, surveyed
from fkt.raw.source import Raw, has_color, shrunk
from fkt.raw.splits import DROPPED, Ints, conflicts, copies_elsewhere, duplicate_groups, limited, partition

Mapped = np.memmap[Any, np.dtype[np.uint8]]


def prepare(dataset: str, params: Prepare, target: Path) -> Meta:
    """Prepare a dataset into the folder ``target``, as described in fkt.data.store. Equal input gives equal bytes.

    Everything is written to a temporary folder, which then replaces the target. Raises DatasetNotFound, CorruptData or
    ParamsError; then an earlier target does not change.
    """
    _check_replaceable(target)
    raw = read_source(dataset, params)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        meta = _fill(partial, dataset, raw, params)
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return meta


def _check_replaceable(target: Path) -> None:
    """Refuse to delete files that no earlier preparation has written, above all raw images."""
    ours = {f"{name}.npy" for name in ("images", "labels", "groups", "masks", *SPLITS)}
    ours |= {"names.json", "meta.json", FILE}
    if foreign := sorted(path.name for path in target.glob("*") if path.name not in ours):
        raise UserError(
            f"{target} is the folder of the prepared arrays and would be replaced, but it contains "
            f"{', '.join(foreign[:5])}; move these files (raw data belong in data/raw, or set prepare.source)"
        )


def _fill(folder: Path, dataset: str, raw: Raw, params: Prepare) -> Meta:
    """Write all files of a prepared folder."""
    keys = None if params.groups is None else group_keys(raw, params.groups)
    positions = np.arange(len(raw))
    if params.limit_per_class is not None:
        positions = limited(raw.labels, raw.parts, params.limit_per_class, params.split_seed)
    images = _new_array(folder / "images.npy", (len(positions), params.image_size, params.image_size, params.channels))
    watched, sizes, color, bordered = surveyed(raw)
    digests, failures = decode_into(images, watched, positions, params.fit)
    names = [raw.names[position] for position in positions.tolist()]
    reasons = {names[row]: reason for row, reason in failures.items()}
    notes = raw.notes | unreadable_note(reasons, len(names), params.on_corrupt)

    good = np.setdiff1d(np.arange(len(positions)), list(failures))
    if len(good) == 0:
        raise CorruptData(f"none of the {len(positions)} images of {dataset} can be read")
    same = duplicate_groups([digests[row] for row in good.tolist()])
    if params.on_conflict == "drop" and (mixed := conflicts(same, raw.labels[positions[good]])):
        left_out = np.sort(np.concatenate(mixed))
        notes["conflicts_dropped"] = [names[row] for row in good[left_out].tolist()]
        good, same = np.delete(good, left_out), np.delete(same, left_out)
    final, groups, found = _split(raw, positions[good], same, keys, params)
    notes |= found

    stay = final != DROPPED
    kept, final = positions[good[stay]], final[stay]
    labels = raw.labels[kept]
    notes |= pixel_notes(sizes[kept], color[kept], bordered[kept], params)
    images = _compacted(folder, images, good[stay])
    index = {part: np.flatnonzero(final == part) for part in SPLITS}
    train = index["train"]
    shown = train[examples(labels[train])]
    _save_originals(folder, raw, dict(zip(shown.tolist(), kept[shown].tolist(), strict=True)), params)
    if params.masks != "none":
        masks = _new_array(folder / "masks.npy", (len(train), params.image_size, params.image_size))
        files = (raw, kept[train], source_folder(dataset, params.source)) if params.masks == "files" else None
        notes |= fill_masks(masks, images, train, sizes[kept[train]], params.fit, files)
        masks.flush()
    images.flush()
    for name, array in (("labels", labels), ("groups", groups[stay]), *index.items()):
        np.save(folder / f"{name}.npy", array)
    write_json(folder / "names.json", [raw.names[position] for position in kept.tolist()])
    mean, std = mean_and_std(images, train)
    meta = Meta(
        dataset=dataset,
        classes=raw.classes,
        image_size=params.image_size,
        channels=params.channels,
        counts={part: np.bincount(labels[rows], minlength=len(raw.classes)).tolist() for part, rows in index.items()},
        mean=mean,
        std=std,
        fit=params.fit,
        checksums={path.name: file_digest(path) for path in sorted(folder.iterdir())},
        notes=notes,
    )
    write_meta(folder, meta)
    return meta


def _split(
    raw: Raw, positions: Ints, same: Ints, keys: Sequence[str | None] | None, params: Prepare
) -> tuple[NDArray[np.str_], Ints, dict[str, Any]]:
    """Return the split and the group of the images at positions (N,), and the notes on both.

    same: (N,) equal for identical images. keys: of all images, see group_keys; None: no groups but identical images.
    """
    labels, parts = raw.labels[positions], raw.parts[positions]
    names = [raw.names[position] for position in positions.tolist()]
    own = None if keys is None else [keys[position] for position in positions.tolist()]
    groups = same if own is None else united(own, same)
    final, copies = partition(labels, groups, parts, params, raw.classes), copies_elsewhere(same, parts)
    notes = duplicate_notes(names, labels, same, copies, raw.classes) | split_notes(parts, final, raw, params)
    if own is not None:
        related = [names[row] for row in np.flatnonzero((final == DROPPED) & ~copies).tolist()]
        notes |= group_notes(str(params.groups), own, groups, labels, final, related)
    return final, groups, notes


def _new_array(path: Path, shape: tuple[int, ...]) -> Mapped:
    """Create an .npy file to write into. Raise UserError if the disk is too full: writing would kill the process."""
    needed, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"{path.parent}: the prepared images need {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; free "
            "some space, or lower prepare.image_size or prepare.limit_per_class"
        )
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _compacted(folder: Path, images: Mapped, keep: Ints) -> Mapped:
    """Keep only the rows ``keep`` of images.npy."""
    if len(keep) == len(images):
        return images
    kept = _new_array(folder / "kept.npy", (len(keep), *images.shape[1:]))
    for rows in chunks(images, len(keep)):
        kept[rows] = images[keep[rows]]
    os.replace(folder / "kept.npy", folder / "images.npy")
    return kept


def _save_originals(folder: Path, raw: Raw, positions: Mapping[int, int], params: Prepare) -> None:
    """Write the originals of which preparation removed pixels or color; positions: row of images.npy -> raw image."""
    changed = {}
    for row, position in positions.items():
        original = raw.load(position, 3)
        height, width = original.shape[:2]
        same = height == width <= params.image_size and raw.crop is None
        if not same or (params.channels == 1 and has_color(original)):
            changed[str(row)] = shrunk(original, LONGEST_SIDE)
    if changed:
        np.savez(folder / FILE, allow_pickle=False, **changed)
