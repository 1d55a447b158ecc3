"""Self-supervised losses as pure functions of tensors; imports no room of ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross-entropy (SimCLR, arXiv:2002.05709, Eq. 1).

    z_a, z_b: (B, D) projections, any scale; row i of each comes from image i. Every one of the 2B vectors has the
    other view of its image as its positive and the remaining 2B - 2 as negatives. Returns the mean over the 2B
    anchors (the sum of the paper's code divided by 2B, so that lambda keeps its meaning at any batch size), in
    float32 and at least 0: log(2B - 1) where all vectors are equal, log(1 + (2B - 2) exp(-1 / temperature)) where
    positives are equal and different images orthogonal; 0 for B = 1.
    """
    if z_a.shape != z_b.shape or z_a.ndim != 2:
        raise ValueError(f"views must have one shape (B, D), not {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    num_images = len(z_a)
    with torch.autocast(device_type=z_a.device.type, enabled=False):
        z = F.normalize(torch.cat([z_a, z_b]).float() if z_a.dtype != torch.float64 else torch.cat([z_a, z_b]), dim=1)
        logits = z @ z.T / temperature  # (2B, 2B)
        logits.fill_diagonal_(float("-inf"))  # a vector is no negative of itself
        positives = torch.arange(2 * num_images, device=z.device).roll(num_images)
        return F.cross_entropy(logits, positives)
