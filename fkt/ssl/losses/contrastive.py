"""NT-Xent, and contrastive losses that know some of the labels, as pure functions of tensors; -1 is an unknown label.

Where no two labels are known to be equal, those that compare within a batch are ``nt_xent``, the one with a queue is
``info_nce``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.precision import at_least_float32
from fkt.ssl.losses.similarity import queue_logits


def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross-entropy (SimCLR, arXiv:2002.05709, Eq. 1).

    z_a, z_b: (B, D) projections, any scale; row i of each comes from image i. Every one of the 2B vectors has the
    other view of its image as its positive and the remaining 2B - 2 as negatives. Returns the mean over the 2B
    anchors (the sum of the paper's code divided by 2B, so that lambda keeps its meaning at any batch size), in
    float32 at least, and at least 0: log(2B - 1) where all vectors are equal, log(1 + (2B - 2) exp(-1 / temperature))
    where positives are equal and different images orthogonal; 0 for B = 1.
    """
    return F.cross_entropy(*_logits(z_a, z_b, temperature))


def same_class(labels: Tensor, others: Tensor) -> Tensor:
    """Which pairs are known to be of one class: (B,) and (M,) integers, at least 0 where known -> (B, M) bool."""
    return (labels[:, None] == others) & (labels >= 0)[:, None]


def same_class_in_batch(labels: Tensor) -> Tensor:
    """Which different images of a batch are known to be of one class: (B,) -> (B, B) bool, symmetric, no diagonal."""
    return same_class(labels, labels).fill_diagonal_(False)


def nt_xent_without_false_negatives(z_a: Tensor, z_b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """NT-Xent whose denominator leaves out both views of other images that are known to be of the anchor's class.

    False-negative elimination (Huynh et al., arXiv:2011.11765, with the labels that Addepalli et al.,
    arXiv:2210.09866, give it): they are no negatives, and no positives either, so that labels take wrong repulsion away
    and add no attraction. For anchor i with positive p, and s the cosine over the temperature:
    -log(e^{s_ip} / (e^{s_ip} + sum of e^{s_ik} over all k but i, p and the false negatives of i)).

    z_a, z_b: (B, D) projections, any scale, row i of each from image i; labels: (B,) int64, -1 where unknown. Returns
    the mean over the 2B anchors, in float32 at least: ``nt_xent`` where all labels are unknown or different, 0 where
    all are known and equal, and never more where more labels are known.
    """
    logits, positives = _logits(z_a, z_b, temperature)
    _check(labels, z_a)
    logits = logits.masked_fill(same_class_in_batch(labels).repeat(2, 2), float("-inf"))
    return F.cross_entropy(logits, positives)


def info_nce_without_false_negatives(
    queries: Tensor, keys: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor, temperature: float
) -> Tensor:
    """InfoNCE whose denominator leaves out the keys of the queue that are known to be of the query's class.

    False-negative elimination as in ``nt_xent_without_false_negatives``, among earlier keys. queries, keys: (B, D);
    queue: (K, D); labels: (B,) int64 of the queries, queue_labels: (K,) int64, -1 where unknown; errors as of
    ``queue_logits``. Returns the mean over queries, in float32 at least: ``info_nce`` where no label is shared, 0 where
    all are known and equal, and never more where more labels are known.
    """
    logits = queue_logits(queries, keys, queue, temperature)  # (B, 1 + K), the positive first
    eliminated = F.pad(same_class(labels, queue_labels), (1, 0))
    logits = logits.masked_fill(eliminated, float("-inf"))
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def sup_con(z_a: Tensor, z_b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss, L_out (SupCon, arXiv:2004.11362, Eq. 2), without the factor tau / base tau.

    z_a, z_b: (B, D) projections, any scale, row i of each from image i; labels: (B,) int64, -1 where unknown. The
    positives of an anchor are the other view of its image and both views of the images known to be of its class; all
    2B - 1 other vectors are in its denominator. Returns the mean over the 2B anchors of the mean over their positives,
    in float32 at least: log(2B - 1) where all vectors are equal, ``nt_xent`` where all labels are unknown or different.
    """
    logits, own = _logits(z_a, z_b, temperature)
    _check(labels, z_a)
    positives = same_class_in_batch(labels).repeat(2, 2)
    positives[torch.arange(len(own), device=own.device), own] = True
    log_p = logits.log_softmax(dim=1).masked_fill(~positives, 0)  # -inf on the diagonal, which is no positive
    return -(log_p.sum(dim=1) / positives.sum(dim=1)).mean()


def _logits(z_a: Tensor, z_b: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(2B, 2B) cosines over the temperature with -inf on the diagonal, and (2B,) positions of the other views."""
    if z_a.shape != z_b.shape or z_a.ndim != 2:
        raise ValueError(f"views must have one shape (B, D), not {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    with torch.autocast(device_type=z_a.device.type, enabled=False):
        z = F.normalize(at_least_float32(torch.cat([z_a, z_b])), dim=1)
        logits = z @ z.T / temperature  # (2B, 2B)
    logits.fill_diagonal_(float("-inf"))  # a vector is no negative of itself
    return logits, torch.arange(len(z), device=z.device).roll(len(z_a))


def _check(labels: Tensor, z: Tensor) -> None:
    if labels.shape != z.shape[:1]:
        raise ValueError(f"labels must have the shape ({len(z)},), not {tuple(labels.shape)}")
