"""Contrastive losses: negatives from the batch (NT-Xent, SupCon), a queue (InfoNCE) or a memory bank (PIRL)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.similarity import check_pair, full_precision


@full_precision
def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float, false_negatives: Tensor | None = None) -> Tensor:
    """Normalized temperature-scaled cross-entropy (SimCLR, arXiv:2002.05709, Eq. 1), a mean over 2B anchors.

    z_a, z_b: (B, D) projections, any scale; row i of each comes from image i. The positive of an anchor is the other
    view of its image; the other 2B - 2 vectors are its negatives. false_negatives: (B, B) bool, pairs of images that
    are not used as negatives. They are not used as positives either: this removes wrong repulsion and adds no
    attraction (arXiv:2011.11765; from labels as in EffSSL, arXiv:2210.09866).

    Returns a scalar of at least 0: log(2B - 1) if all vectors are equal, log(1 + (2B - 2) exp(-1 / temperature)) if
    positives are equal and different images are orthogonal, 0 if there are no negatives.
    """
    logits, positives = _logits(z_a, z_b, temperature)
    if false_negatives is not None:
        logits = logits.masked_fill(false_negatives.repeat(2, 2), float("-inf"))
    return F.cross_entropy(logits, positives)


@full_precision
def sup_con(z_a: Tensor, z_b: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss L_out (SupCon, arXiv:2004.11362, Eq. 2), without the factor tau / base tau.

    z_a, z_b: as in nt_xent; same: (B, B) bool, different images of one class. The positives of an anchor are the other
    view of its image and both views of the images of its class; all 2B - 1 other vectors are in the denominator.

    Returns the mean over the 2B anchors of the mean over their positives: log(2B - 1) if all vectors are equal,
    ``nt_xent`` if no two images are of one class.
    """
    logits, own = _logits(z_a, z_b, temperature)
    positives = same.repeat(2, 2)
    positives[torch.arange(len(own), device=own.device), own] = True
    log_p = logits.log_softmax(dim=1).masked_fill(~positives, 0)  # the diagonal is -inf and not a positive
    return -(log_p.sum(dim=1) / positives.sum(dim=1)).mean()


def same_class(labels: Tensor, others: Tensor) -> Tensor:
    """Return which pairs are known to be of one class; (B,) and (M,) int64, -1 = unknown -> (B, M) bool."""
    return (labels[:, None] == others) & (labels >= 0)[:, None]


def same_class_in_batch(labels: Tensor) -> Tensor:
    """Return which different images of a batch are known to be of one class; (B,) int64, -1 = unknown -> (B, B)."""
    return same_class(labels, labels).fill_diagonal_(False)


@full_precision
def queue_logits(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return the cosines of each query with its key (column 0) and with the queue, divided by the temperature.

    queries, keys: (B, D), any scale; row i of each comes from image i. queue: (K, D), any scale. Returns (B, 1 + K).
    Raises ValueError if the shapes do not fit.
    """
    check_pair(queries, keys)
    if queue.ndim != 2 or queue.shape[1] != queries.shape[1]:
        raise ValueError(f"the queue for {tuple(queries.shape)} queries must be (K, D), not {tuple(queue.shape)}")
    queries, keys, queue = (F.normalize(vectors, dim=1) for vectors in (queries, keys, queue))
    positives = (queries * keys).sum(dim=1, keepdim=True)  # (B, 1)
    return torch.cat([positives, queries @ queue.T], dim=1) / temperature


def info_nce(
    queries: Tensor, keys: Tensor, queue: Tensor, temperature: float, false_negatives: Tensor | None = None
) -> Tensor:
    """InfoNCE with negatives from a queue (MoCo, arXiv:1911.05722, Eq. 1), a mean over queries.

    Arguments: see queue_logits; false_negatives: (B, K) bool, keys that are not used as negatives, see nt_xent.
    Returns a scalar of at least 0: log(K + 1) if all vectors are equal, log(1 + K exp(-1 / temperature)) if queries
    equal their keys and are orthogonal to the queue.
    """
    logits = queue_logits(queries, keys, queue, temperature)
    if false_negatives is not None:
        logits = logits.masked_fill(F.pad(false_negatives, (1, 0)), float("-inf"))
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


@full_precision
def nce(similarities: Tensor, temperature: float) -> Tensor:
    """Noise-contrastive loss of PIRL (arXiv:1912.01991): the mean of -log h - sum over negatives of log(1 - h').

    similarities: (B, 1 + K), the positive in column 0. h is the share of the positive in the sum of
    exp(similarity / temperature) over the positive and the negatives; h' is the share of a negative. Returns a scalar
    of at least 0: log(1 + K) + K * log(1 + 1 / K) if all similarities are equal. It is finite for finite inputs: if a
    share is almost 1, its complement is summed from the other shares.
    """
    shares = F.log_softmax(similarities / temperature, dim=1)
    top = shares.argmax(dim=1, keepdim=True)
    rest = shares.scatter(1, top, float("-inf")).logsumexp(dim=1, keepdim=True)
    without_top = -F.softplus(shares.gather(1, top) - rest)
    complements = torch.log1p(-shares.scatter(1, top, -1.0).exp()).scatter(1, top, without_top)  # log(1 - h')
    return -(shares[:, 0] + complements[:, 1:].sum(dim=1)).mean()


@full_precision
def bank_info_nce(similarities: Tensor, temperature: float) -> Tensor:
    """InfoNCE on the similarities of nce: the mean of -log h, its first term."""
    return -F.log_softmax(similarities / temperature, dim=1)[:, 0].mean()


def _logits(z_a: Tensor, z_b: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return (2B, 2B) cosines over the temperature, -inf on the diagonal, and (2B,) indices of the other views."""
    check_pair(z_a, z_b)
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)
    logits = z @ z.T / temperature  # (2B, 2B)
    logits.fill_diagonal_(float("-inf"))  # a vector is not its own negative
    return logits, torch.arange(len(z), device=z.device).roll(len(z_a))
