"""The losses of SwAV (arXiv:2006.09882): prototype scores, balanced codes and swapped prediction."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.similarity import full_precision


@full_precision
def prototype_scores(projections: Tensor, prototypes: Tensor) -> Tensor:
    """Return the cosines (B, K) of projections (B, D), any scale, with prototypes (K, D), unit rows."""
    return F.normalize(projections, dim=1) @ prototypes.T


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Return codes that use all prototypes equally: Sinkhorn-Knopp on exp(scores / epsilon) (SwAV, Eq. 3-5).

    scores: (B, K); epsilon > 0: entropy of the codes; iterations: at least 1. Each iteration gives every prototype the
    same mass, and then every sample the mass 1. Returns (B, K) without gradient: rows sum to 1, columns approach B / K.
    The iterations use logarithms, so that no epsilon overflows and no prototype's mass becomes 0.
    """
    codes = scores / epsilon
    for _ in range(iterations):
        codes = codes.log_softmax(dim=0).log_softmax(dim=1)
    return codes.exp()


@full_precision
def swapped_prediction(
    scores_a: Tensor, scores_b: Tensor, codes_a: Tensor, codes_b: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy between the code of each view and the prediction from the other view (SwAV, Eq. 1-2).

    scores_a, scores_b: (B, K); codes_a, codes_b: (B, K), rows sum to 1, used as constants. Returns the mean over images
    and both directions, as the official code does; Eq. 1 is the sum of both directions. It is at least the mean entropy
    of the codes, and log K if the scores of each sample are equal.
    """
    losses = [
        -(codes.detach() * (scores / temperature).log_softmax(dim=1)).sum(dim=1).mean()
        for scores, codes in ((scores_a, codes_b), (scores_b, codes_a))
    ]
    return (losses[0] + losses[1]) / 2


@torch.no_grad()
def effective_prototypes(scores: Tensor) -> Tensor:
    """Return the effective number of prototypes in use: exp of the entropy of the nearest prototypes in a batch.

    scores: (B, K). Returns a scalar in [1, min(B, K)]: 1 if all samples have the same nearest prototype. Soft
    assignments would not show a collapse, because a collapsed batch has uniform ones.
    """
    nearest = scores.argmax(dim=1, keepdim=True)
    # A comparison instead of bincount, which would wait for the device.
    shares = (nearest == torch.arange(scores.shape[1], device=scores.device)).float().mean(dim=0)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()
