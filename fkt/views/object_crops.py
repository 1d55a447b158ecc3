"""Crops that contain the object: false-positive elimination (EffSSL, arXiv:2210.09866, Table 2).

Two crops of one image are a false-positive pair if one of them misses the object. The paper reports the gain of
removing such pairs, but not how it judges a crop. Here a crop is good if it contains ``augment.object_share`` of the
image's mask (see prepare.masks). A crop that is not good is drawn again.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.data.keys import keyed_generator
from fkt.data.meta import load_meta
from fkt.params import Augment
from fkt.views.geometry import Sampling

DRAWS = 10
"""The maximum number of draws of one crop. If none is good, the draw that contains most of the object is used."""
SUMMARIZED = 500
"""The number of training images in ``ObjectCrops.summary``."""


class ObjectCrops:
    """The masks of the training images, and the choice of good crops."""

    def __init__(self, masks: NDArray[np.uint8], least_share: float, selected: Tensor) -> None:
        """masks: (N, H, W), 0 = no object; selected: (N,) bool, the images whose crops may be drawn again."""
        self.masks, self.least_share, self.selected = masks, least_share, selected

    def choose(self, crop: Sampling, drawn: Tensor, index: Tensor, generator: Generator) -> Tensor:
        """Return the first good draw (B, K) of each crop, or its best draw if none is good.

        drawn: (B, K), the first draw of each crop; index: (B,) positions of the images in the train split. A crop of an
        image that is not selected, or whose mask is empty, keeps its first draw.
        """
        draws = torch.stack([drawn, *crop.draw((DRAWS - 1) * len(drawn), generator).split(len(drawn))])  # (T, B, K)
        shares = self._shares(index, crop.boxes(draws)) * self.selected[index]
        rank = torch.where(shares >= self.least_share, 2.0, shares)
        return draws[rank.argmax(dim=0), torch.arange(len(index))]  # argmax returns the first of equal values

    def summary(self, crop: Sampling) -> str:
        """Return a sentence with the share of good crops among training images, as first drawn and as used."""
        index = torch.linspace(0, len(self.masks) - 1, min(len(self.masks), SUMMARIZED)).long()
        index = index[torch.from_numpy(self.masks[index.numpy()].any(axis=(1, 2)))]
        if not len(index):
            return "all masks are empty: no crop is drawn again"
        generator = keyed_generator("summary")
        first = crop.draw(len(index), generator)
        kept = self.choose(crop, first, index, generator)
        shares = self._shares(index, crop.boxes(torch.stack([first, kept])))
        before, after = (100 * (shares >= self.least_share).double().mean(dim=1)).tolist()
        return (
            f"crops of {len(index)} training images: {before:.1f} % contain {self.least_share:g} of the object in the "
            f"first draw, {after:.1f} % after up to {DRAWS} draws"
        )

    def _shares(self, index: Tensor, boxes: Tensor) -> Tensor:
        return object_shares(torch.from_numpy(self.masks[index.numpy()]), boxes)


def object_shares(masks: Tensor, boxes: Tensor) -> Tensor:
    """Return the share of each object that lies in each of T boxes: (T, B) float64 in [0, 1], 0 for an empty mask.

    masks: (B, H, W) uint8. boxes: (T, B, 4) whole numbers: left, top, right and bottom in pixels of the mask.
    """
    sums = F.pad(masks.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))  # (B, H + 1, W + 1)
    row, (left, top, right, bottom) = torch.arange(len(masks)), boxes.long().unbind(dim=2)
    inside = sums[row, bottom, right] - sums[row, top, right] - sums[row, bottom, left] + sums[row, top, left]
    return inside.double() / sums[:, -1, -1].clamp(min=1)


def open_object_crops(prepared: Path, augment: Augment, seed: int) -> ObjectCrops | None:
    """Open the masks of a prepared folder. Return None if augment.object_share is 0.

    The images of the share augment.good_crops are selected by the seed. With one seed, a smaller share is a subset of a
    larger share. Raises ParamsError if the folder was prepared without masks.
    """
    if not augment.object_share:
        return None
    path = prepared / "masks.npy"
    if not path.is_file():
        raise ParamsError(
            f"augment.object_share needs masks, but {prepared} was prepared without masks; set prepare.masks: saliency "
            "or files, and run 'dvc repro prepare'"
        )
    load_meta(prepared, path.name)
    masks = np.load(path, mmap_mode="r", allow_pickle=False)
    order = torch.randperm(len(masks), generator=keyed_generator("good crops", seed))
    selected = order.argsort() < int(len(masks) * augment.good_crops + 0.5)
    return ObjectCrops(masks, augment.object_share, selected)
