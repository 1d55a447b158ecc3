"""Which crops show the object: false-positive elimination (EffSSL, arXiv:2210.09866, Table 2).

Two crops of one image are a false positive pair where one of them misses the object. The paper shows what their
elimination gains and not how a crop is judged; here it is judged by how much of the object it holds. Nothing here
keeps state or knows a loader.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fkt.data.keys import keyed_generator

DRAWS = 10
"""How often a crop is drawn at most, as often as a box that fits the image is; then the best of these is kept."""
_ROUNDING = 1e-9
"""A crop that holds just so much is good, whatever the rounding of its sums."""


def object_share(masks: Tensor, boxes: Tensor) -> Tensor:
    """Return the share of each object that lies in a crop.

    masks: (B, H, W) bool or non-negative numbers: where the object is, or how salient each pixel is.
    boxes: (B, 4) left, top, right, bottom in pixels of the mask, 0 ... W and 0 ... H from the outer edge of the first
    pixel; fractions count the part of a pixel that is inside, and what lies outside of the mask holds nothing.
    Returns (B,) float64 in [0, 1]; 0 where a mask is empty, since no crop shows an object that is not there.
    Raises ValueError for shapes that do not fit, negative masks, and boxes that end before they begin.
    """
    if masks.ndim != 3 or boxes.shape != (len(masks), 4):
        raise ValueError(f"masks must be (B, H, W) and boxes (B, 4), not {tuple(masks.shape)} and {tuple(boxes.shape)}")
    if not (masks >= 0).all():
        raise ValueError("a mask holds numbers that are not 0 or more")
    if not (boxes[:, :2] <= boxes[:, 2:]).all():
        raise ValueError("a box ends before it begins; give left, top, right, bottom")
    return _shares(masks, boxes[None])[0]


def good_draws(draws: Tensor, boxes: Tensor, masks: Tensor, threshold: float) -> Tensor:
    """Return for each image the first of its draws whose crop holds ``threshold`` of the object: (B, K).

    Where none does, it is the draw that holds most, and the first where a mask is empty: an image whose object is not
    known keeps the crop it would have had. draws: (T, B, K), whatever they are; boxes: (T, B, 4), their crops, and
    masks: (B, H, W) as in object_share, all on one device, which never waits for a decision. Boxes of whole pixels on
    whole-number masks are summed exactly, so that every device decides alike.
    """
    shares = _shares(masks, boxes)  # (T, B)
    rank = torch.where(shares >= threshold - _ROUNDING, 2.0, shares)
    return draws[rank.argmax(dim=0), torch.arange(len(masks), device=draws.device)]  # the first of equals


def judged_index(num_images: int, share: float, seed: int) -> Tensor:
    """Return the sorted positions (M,) int64 of the training images whose crops are judged: a share in [0, 1] of all.

    With one seed, a smaller share is part of every larger one.
    """
    order = torch.randperm(num_images, generator=keyed_generator("good crops", seed))
    return order[: int(num_images * share + 0.5)].sort().values


def _shares(masks: Tensor, boxes: Tensor) -> Tensor:
    """(B, H, W) masks, (T, B, 4) boxes -> (T, B) shares, see object_share; nothing is checked."""
    weights, (left, top, right, bottom) = masks.double(), boxes.double().unbind(dim=2)
    rows, columns = _covered(top, bottom, masks.shape[1]), _covered(left, right, masks.shape[2])
    inside = torch.einsum("tbh,bhw,tbw->tb", rows, weights, columns)
    total = weights.sum(dim=(1, 2))
    return torch.where(total > 0, inside / torch.where(total > 0, total, 1.0), 0.0).clamp(0, 1)


def _covered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """(T, B) limits -> (T, B, count): the part of each unit interval that lies between them."""
    edges = torch.arange(count, dtype=low.dtype, device=low.device)
    return (torch.minimum(high[..., None], edges + 1) - torch.maximum(low[..., None], edges)).clamp_min(0)
