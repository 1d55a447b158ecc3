"""Prepared data on disk and in memory: uint8 arrays, splits by index, and meta.json. Knows no raw format.

A prepared folder holds ``images.npy`` (N, H, W, C) uint8, ``labels.npy`` (N,) int64, the index arrays
``train.npy``, ``val.npy`` and ``test.npy`` (int64, disjoint), and ``meta.json``; where objects are located also
``masks.npy`` (M, H, W) uint8, one row for each row of ``train.npy``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import CorruptData, ParamsError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
RESIDENT_BYTES = 8 * 2**30
"""A split up to this size is held in memory (or on the device); a larger one is read batch by batch."""


@dataclass(frozen=True)
class Meta:
    """What is known of a prepared dataset beside its arrays."""

    dataset: str
    classes: list[str]
    """Class names; a label is a position in this list."""
    image_size: int
    channels: int
    counts: dict[str, list[int]]
    """Images of each class, for each split."""
    mean: list[float]
    """Mean of the training images for each channel, in [0, 1]."""
    std: list[float]
    """Standard deviation of the same, in [0, 1]."""
    checksums: dict[str, str] = field(default_factory=dict)
    """sha256 of each array file."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What preparation noticed: duplicates, conflicting labels, skipped files, the source's own splits."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True)
class Split:
    """One split (or a part of one), its images on the device where they will be used."""

    name: SplitName
    meta: Meta
    ids: Tensor
    """(N,) int64: positions in images.npy, the identity of an image everywhere."""
    labels: Tensor
    """(N,) int64."""
    _images: Tensor | NDArray[np.uint8]
    """(N, H, W, C) uint8 rows of this split, or the whole memory-mapped array where it is too large to hold."""
    _masks: Tensor | NDArray[np.uint8] | None = None
    """(N, H, W) uint8 rows of this split, memory-mapped where they are too large to hold; None where not loaded."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Where ``images`` returns them: the CPU for memory-mapped ones."""
        return self._images.device if isinstance(self._images, Tensor) else torch.device("cpu")

    def to(self, device: torch.device | str) -> Split:
        """Return the split with its images on a device; memory-mapped images stay on disk."""
        images = self._images.to(device) if isinstance(self._images, Tensor) else self._images
        masks = self._masks.to(device) if isinstance(self._masks, Tensor) else self._masks
        return Split(self.name, self.meta, self.ids, self.labels, images, masks)

    def images(self, index: Tensor) -> Tensor:
        """Return the images at positions ``index`` (B,) of this split: (B, C, H, W) uint8, channels-last."""
        if isinstance(self._images, Tensor):
            rows = self._images[index.to(self._images.device)]
        else:
            rows = torch.from_numpy(self._images[self.ids[index.cpu()].numpy()])
        return rows.permute(0, 3, 1, 2)  # NHWC in memory is what channels-last means

    def masks(self, index: Tensor) -> Tensor:
        """Return where the objects are in the images at positions ``index`` (B,): (B, H, W) uint8, 0 is no object.

        The split must have been loaded with masks.
        """
        assert self._masks is not None, "load_split reads masks only where it is told to"
        if isinstance(self._masks, Tensor):
            return self._masks[index.to(self._masks.device)]
        return torch.from_numpy(self._masks[index.cpu().numpy()])

    def subset(self, index: Tensor) -> Split:
        """Return the part of this split at positions ``index``; memory-mapped images stay on disk, masks do not."""
        images = self._images[index.to(self._images.device)] if isinstance(self._images, Tensor) else self._images
        masks = None if self._masks is None else self.masks(index)
        return Split(self.name, self.meta, self.ids[index], self.labels[index], images, masks)


def load_meta(prepared: Path) -> Meta:
    """Read meta.json of a prepared folder. Raises CorruptData where it is absent, cut, or of another version."""
    path = prepared / "meta.json"
    if not path.is_file():
        raise CorruptData(f"{path} is missing; run 'dvc repro prepare'")
    try:
        return Meta(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # no JSON, or not these fields
        raise CorruptData(
            f"{path} was cut short or written by another version ({error}); run 'dvc repro prepare'"
        ) from error


def load_split(
    prepared: Path, name: SplitName, device: torch.device | str = "cpu", *, with_masks: bool = False
) -> Split:
    """Open one split of a prepared folder; other splits' images are not read.

    with_masks: read masks.npy too, which the train split alone may have. Raises ParamsError where it is not there.
    """
    meta = load_meta(prepared)
    ids = np.load(prepared / f"{name}.npy", allow_pickle=False)
    labels = np.load(prepared / "labels.npy", allow_pickle=False)[ids]
    mapped = np.load(prepared / "images.npy", mmap_mode="r", allow_pickle=False)
    images: Tensor | NDArray[np.uint8] = mapped
    if len(ids) * int(np.prod(mapped.shape[1:])) <= RESIDENT_BYTES:
        images = torch.from_numpy(np.ascontiguousarray(mapped[ids])).to(device)
    masks = _load_masks(prepared, meta, device) if with_masks else None
    return Split(name, meta, torch.from_numpy(ids), torch.from_numpy(labels), images, masks)


def _load_masks(prepared: Path, meta: Meta, device: torch.device | str) -> Tensor | NDArray[np.uint8]:
    if "masks.npy" not in meta.checksums:
        raise ParamsError(
            f"augment.object_share needs masks, and {prepared} was prepared without; set prepare.masks: saliency or "
            "files, and run 'dvc repro prepare'"
        )
    mapped: NDArray[np.uint8] = np.load(prepared / "masks.npy", mmap_mode="r", allow_pickle=False)
    return mapped if mapped.nbytes > RESIDENT_BYTES else torch.from_numpy(np.array(mapped)).to(device)


def write_json(path: Path, content: object) -> None:
    """Write JSON with sorted keys, to a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)


def write_meta(prepared: Path, meta: Meta) -> None:
    """Write meta.json of a prepared folder."""
    write_json(prepared / "meta.json", asdict(meta))
