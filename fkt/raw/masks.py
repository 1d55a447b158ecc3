"""Where the object is in each training image: computed from the image, or read from a file beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.raw.decode import Unreadable, decode_file
from fkt.raw.notes import SHOWN
from fkt.raw.pixels import chunks, decode_into
from fkt.raw.saliency import saliency_maps
from fkt.raw.source import Pixels, Raw
from fkt.raw.splits import Ints


def mask_folder(source: Path) -> Path:
    """Where the masks of a tree of image files are looked for: beside it, so that no folder of it is taken for them."""
    named = source.resolve() if source.name in ("", "..") else source  # "." is a folder without a name of its own
    return Path(f"{named}-masks")


def fill_with_saliency(masks: Pixels, images: Pixels, train: Ints) -> None:
    """Fill masks (M, S, S) with the saliency of the prepared images (N, S, S, C) at train (M,)."""
    for rows in chunks(images, len(train), bytes_each=100):  # complex spectra among them
        masks[rows] = saliency_maps(images[train[rows]])


def fill_from_files(masks: Pixels, raw: Raw, positions: Ints, folder: Path) -> None:
    """Fill masks (M, S, S) with the files in ``folder`` that belong to the images at positions (M,) of a source.

    A mask is an image file of the same relative path, or of that path with the suffix .png, and of its image's size:
    0 is no object, and brighter is more object; the brightest value of a file becomes 255. What is transparent is no
    object either, as around one that was cut out. It is resized and cut as its image is. Raises DatasetNotFound where
    there is no such folder, CorruptData naming what is missing or does not fit.
    """
    remedy = "or set prepare.masks: saliency, or none"
    if not folder.is_dir():
        raise DatasetNotFound(
            f"prepare.masks: files are looked for in {folder}, which is not there; put an image of the same relative "
            f"path there for each training image, {remedy}"
        )
    names = set(raw.names)

    def load(position: int, channels: int) -> Pixels:
        mask = decode_file(_mask_path(folder, raw.names[position], names), channels, background="black")
        found, expected = mask.shape[:2], raw.load(position, channels).shape[:2]
        if found != expected:
            sizes = [f"{width} x {height}" for height, width in (found, expected)]
            raise Unreadable(folder / raw.names[position], f"it is {sizes[0]} pixels, its image {sizes[1]}")
        top = max(1, int(mask.max()))
        scaled: Pixels = np.floor(mask * (255 / top) + 0.5).astype(np.uint8)
        return scaled

    _, failures = decode_into(masks[..., None], replace(raw, load=load), positions)
    if failures:
        lines = sorted(f"{raw.names[positions[row]]}: {reason}" for row, reason in failures.items())
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise CorruptData(
            f"masks in {folder} that cannot be used: {len(lines)} of {len(positions)}\n       "
            + "\n       ".join([*lines[:SHOWN], *more])
            + f"\n       add or repair them (the same relative path, or that with .png), {remedy}"
        )


def _mask_path(folder: Path, name: str, names: set[str]) -> Path:
    """The mask of an image; another image's file name is never taken for it."""
    png = Path(name).with_suffix(".png").as_posix()
    return folder / (name if (folder / name).is_file() or png in names else png)


def masks_note(masks: Pixels, kind: str) -> dict[str, Any]:
    """Return the note on the masks (M, S, S): their kind, and how many are empty."""
    filled = sum(int(masks[rows].any(axis=(1, 2)).sum()) for rows in chunks(masks, len(masks)))
    return {"masks": {"kind": kind, "images": len(masks), "empty": len(masks) - filled}}
