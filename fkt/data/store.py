"""Splits of a prepared dataset, on disk or in memory. This module knows no raw format.

A prepared folder contains ``images.npy`` (N, H, W, C) uint8, ``labels.npy`` (N,) int64, the disjoint index arrays
``train.npy``, ``val.npy`` and ``test.npy`` (int64), ``groups.npy`` (N,) int64 (equal for identical images, and in one
of ``prepare.groups``), ``names.json`` (the N names of the images) and ``meta.json``. With ``prepare.masks`` it
also contains ``masks.npy`` (M, H, W) uint8, one mask per row of ``train.npy``; see ``fkt.views.object_crops``.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.data.meta import Meta, SplitName, load_meta

RESIDENT_BYTES, RESIDENT_BYTES_GPU = 2**30, 8 * 2**30
"""A split up to this size is kept in memory, or on the GPU. A larger one is read batch by batch; the system keeps in
its cache what fits."""


@dataclass(frozen=True)
class Split:
    """One split of a dataset."""

    name: SplitName
    meta: Meta
    ids: Tensor
    """(N,) int64: rows of images.npy. They identify an image in all results."""
    labels: Tensor
    """(N,) int64."""
    _images: Tensor | NDArray[np.uint8]
    """(N, H, W, C) uint8: the images of this split. If they are too large for memory: the memory-mapped images.npy."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Device of the tensors that ``images`` returns."""
        return self._images.device if isinstance(self._images, Tensor) else torch.device("cpu")

    def to(self, device: torch.device | str) -> "Split":
        """Return the split with its images on a device. Memory-mapped images stay on disk."""
        return replace(self, _images=self._images.to(device)) if isinstance(self._images, Tensor) else self

    def images(self, index: Tensor) -> Tensor:
        """Return the images at positions ``index`` (B,) of this split: (B, C, H, W) uint8, channels-last."""
        if isinstance(self._images, Tensor):
            rows = self._images[index.to(self._images.device)]
        else:
            rows = torch.from_numpy(self._images[self.ids[index.cpu()].numpy()])
        return rows.permute(0, 3, 1, 2)  # a permuted NHWC array is channels-last in memory


def load_split(prepared: Path, name: SplitName, device: torch.device | str = "cpu") -> Split:
    """Open one split of a prepared folder, whose files are compared with their checksums.

    The images of the other splits are not used. Raises CorruptData for a missing or damaged file.
    """
    meta = load_meta(prepared, f"{name}.npy", "labels.npy", "images.npy")
    ids = np.load(prepared / f"{name}.npy", allow_pickle=False)
    labels = np.load(prepared / "labels.npy", allow_pickle=False)[ids]
    mapped = np.load(prepared / "images.npy", mmap_mode="r", allow_pickle=False)
    images: Tensor | NDArray[np.uint8] = mapped
    limit = RESIDENT_BYTES if torch.device(device).type == "cpu" else RESIDENT_BYTES_GPU
    if len(ids) * int(np.prod(mapped.shape[1:])) <= limit:
        images = torch.from_numpy(np.ascontiguousarray(mapped[ids])).to(device)
    return Split(name, meta, torch.from_numpy(ids), torch.from_numpy(labels), images)
