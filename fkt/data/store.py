"""Prepared data on disk and in memory: uint8 arrays, splits by index, and meta.json. Knows no raw format.

A prepared folder holds ``images.npy`` (N, H, W, C) uint8, ``labels.npy`` (N,) int64, the index arrays
``train.npy``, ``val.npy`` and ``test.npy`` (int64, disjoint), and ``meta.json``; where objects are located also
``masks.npy`` (M, H, W) uint8, one row for each row of ``train.npy``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import ParamsError
from fkt.data.meta import Meta, SplitName, load_meta

RESIDENT_BYTES = 8 * 2**30
"""A split up to this size is held in memory (or on the device); a larger one is read batch by batch."""


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
