"""Losses that compare embeddings row by row or with a queue, as pure functions of tensors; imports no room of ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.precision import at_least_float32


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Negative cosine similarity D(p, z) (SimSiam, arXiv:2011.10566, Eq. 1), a mean over rows.

    p, z: (B, D), any scale; row i of each comes from image i. Returns a scalar in [-1, 1], in float32 (float64 for
    float64): -1 where all pairs are parallel. Both arguments get their gradient: whoever calls it stops one. Raises
    ValueError where the shapes differ.
    """
    _refuse_unequal(p, z)
    with torch.autocast(device_type=p.device.type, enabled=False):
        return -(_unit(p) * _unit(z)).sum(dim=1).mean()


def byol_loss(p: Tensor, z: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 - 2 cos(p, z) (BYOL, arXiv:2006.07733, Eq. 2), a mean over rows.

    p, z: (B, D), any scale. Returns a scalar in [0, 4], in float32 (float64 for float64): 0 where all pairs are
    parallel, 2 where they are orthogonal. Raises ValueError where the shapes differ.
    """
    return 2 + 2 * negative_cosine(p, z)


def queue_logits(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cosines of each query with its key (column 0) and with the queue, divided by the temperature; (B, 1 + K).

    queries, keys: (B, D), any scale; row i of each comes from image i. queue: (K, D), any scale. In float32 (float64
    for float64). Raises ValueError where shapes do not fit.
    """
    _refuse_unequal(queries, keys)
    if queue.ndim != 2 or queue.shape[1] != queries.shape[1]:
        raise ValueError(f"a queue for {tuple(queries.shape)} queries must be (K, D), not {tuple(queue.shape)}")
    with torch.autocast(device_type=queries.device.type, enabled=False):
        queries, keys, queue = _unit(queries), _unit(keys), _unit(queue)
        positives = (queries * keys).sum(dim=1, keepdim=True)  # (B, 1)
        return torch.cat([positives, queries @ queue.T], dim=1) / temperature


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE with negatives from a queue (MoCo, arXiv:1911.05722, Eq. 1), a mean over queries.

    Arguments and errors: see queue_logits. Returns a scalar of at least 0: log(K + 1) where all vectors are equal,
    log(1 + K exp(-1 / temperature)) where queries equal their keys and are orthogonal to the queue.
    """
    logits = queue_logits(queries, keys, queue, temperature)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


@torch.no_grad()
def embedding_health(z: Tensor) -> dict[str, Tensor]:
    """Two signs of collapse in embeddings z (B, D), B >= 2, of any scale; scalars without gradient.

    ``projection_std``: standard deviation of the unit vectors relative to 1 / sqrt(D) (SimSiam, arXiv:2011.10566,
    Sec. 4.1); about 1 is healthy, 0 is one point for all images. ``projection_rank``: the participation ratio
    tr(C)^2 / tr(C^2) of their covariance C, between 1 and min(B - 1, D); near 1 they lie on a line, which the
    standard deviation cannot see.
    """
    with torch.autocast(device_type=z.device.type, enabled=False):
        unit = _unit(z)
        centered = unit - unit.mean(dim=0)
        gram = centered @ centered.T  # has the eigenvalues of the covariance, whatever D
        rank = gram.trace().square() / gram.square().sum().clamp_min(torch.finfo(gram.dtype).tiny)
        return {"projection_std": unit.std(dim=0).mean() * z.shape[1] ** 0.5, "projection_rank": rank}


def _unit(z: Tensor) -> Tensor:
    """Scale rows to length 1, in float32 at least."""
    return F.normalize(at_least_float32(z), dim=1)


def _refuse_unequal(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"embeddings must have one shape (B, D), not {tuple(a.shape)} and {tuple(b.shape)}")
