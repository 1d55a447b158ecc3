"""Raw data to a prepared folder: decode, find duplicates, split, add up, write; all of it or nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, UserError
from fkt.core.files import file_digest
from fkt.data.meta import SPLITS, Meta, write_meta
from fkt.params import Prepare
from fkt.raw.datasets import read_raw, source_folder
from fkt.raw.masks import fill_from_files, fill_with_saliency, mask_folder, masks_note
from fkt.raw.notes import duplicate_notes, unreadable_note
from fkt.raw.partition import DROPPED, partition
from fkt.raw.pixels import chunks, decode_into, mean_and_std
from fkt.raw.source import Pixels, Raw
from fkt.raw.splits import Ints, duplicate_groups, limited


def prepare(dataset: str, params: Prepare, target: Path) -> Meta:
    """Prepare a dataset into the folder ``target`` as fkt.data.store describes it; equal input gives equal bytes.

    Everything is written to a folder beside the target, which then takes the target's place.
    Raises DatasetNotFound, CorruptData or ParamsError; an earlier target is then left as it was.
    """
    _replaceable(target)
    raw = read_raw(dataset, params.source, params.download)
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


def _replaceable(target: Path) -> None:
    """Refuse to delete what no earlier preparation has written, the raw images above all."""
    ours = {"images.npy", "labels.npy", "masks.npy", "meta.json", *(f"{part}.npy" for part in SPLITS)}
    if foreign := sorted(path.name for path in target.glob("*") if path.name not in ours):
        raise UserError(
            f"{target} is where prepared arrays go, and would be replaced, but it holds {', '.join(foreign[:5])}; "
            "move these elsewhere (raw data belong under data/raw, or anywhere else with prepare.source)"
        )


def _fill(folder: Path, dataset: str, raw: Raw, params: Prepare) -> Meta:
    """Write all files of a prepared folder."""
    positions = np.arange(len(raw))
    if params.limit_per_class is not None:
        positions = limited(raw.labels, raw.parts, params.limit_per_class, params.split_seed)
    shape = (len(positions), params.image_size, params.image_size, params.channels)
    images = _new_array(folder / "images.npy", shape)
    digests, failures = decode_into(images, raw, positions)
    names = [raw.names[position] for position in positions.tolist()]
    notes = raw.notes | unreadable_note({names[row]: reason for row, reason in failures.items()}, params.on_corrupt)

    good = np.setdiff1d(np.arange(len(positions)), list(failures))
    if len(good) == 0:
        raise CorruptData(f"none of the {len(positions)} images of {dataset} can be read")
    labels, parts = raw.labels[positions[good]], raw.parts[positions[good]]
    groups = duplicate_groups([digests[row] for row in good.tolist()])
    final = partition(labels, groups, parts, params, raw.classes)
    notes |= duplicate_notes([names[row] for row in good.tolist()], labels, groups, final, raw.classes)
    notes["source"] = {part: int((parts == part).sum()) for part in SPLITS}

    stay = final != DROPPED
    images = _compact(folder, images, good[stay])
    if params.masks != "none":
        train = np.flatnonzero(final[stay] == "train")
        masks = _new_array(folder / "masks.npy", (len(train), params.image_size, params.image_size))
        if params.masks == "files":
            beside = mask_folder(source_folder(dataset, params.source))
            fill_from_files(masks, raw, positions[good[stay]][train], beside)
        else:
            fill_with_saliency(masks, images, train)
        _flush(masks)
        notes |= masks_note(masks, params.masks)
    return _write(folder, dataset, images, labels[stay], final[stay], raw.classes, notes)


def _new_array(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Create an .npy file to write into; a full disk would kill the process then, so room is asked for first."""
    needed, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"{path.parent}: the prepared images need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room, or lower prepare.image_size or prepare.limit_per_class"
        )
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _flush(array: Pixels) -> None:
    """Bring what was written into an array of ``_new_array`` to its file."""
    assert isinstance(array, np.memmap)
    array.flush()


def _compact(folder: Path, images: Pixels, keep: Ints) -> Pixels:
    """Leave only the rows ``keep`` in images.npy."""
    if len(keep) == len(images):
        return images
    path = folder / "kept.npy"
    kept = _new_array(path, (len(keep), *images.shape[1:]))
    for rows in chunks(images, len(keep)):
        kept[rows] = images[keep[rows]]
    os.replace(path, folder / "images.npy")
    return kept


def _write(
    folder: Path,
    dataset: str,
    images: Pixels,
    labels: Ints,
    final: NDArray[np.str_],
    classes: list[str],
    notes: dict[str, Any],
) -> Meta:
    """Write the index arrays and meta.json beside images.npy."""
    _flush(images)
    arrays = {"labels": labels.astype(np.int64)} | {part: np.flatnonzero(final == part) for part in SPLITS}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    mean, std = mean_and_std(images, arrays["train"])
    meta = Meta(
        dataset=dataset,
        classes=classes,
        image_size=images.shape[1],
        channels=images.shape[3],
        counts={part: np.bincount(labels[arrays[part]], minlength=len(classes)).tolist() for part in SPLITS},
        mean=mean,
        std=std,
        checksums={name: file_digest(folder / name) for name in sorted(path.name for path in folder.glob("*.npy"))},
        notes=notes,
    )
    write_meta(folder, meta)
    return meta
