"""Online clustering as pure functions of tensors: prototype scores, balanced codes and the swapped prediction of SwAV.

Holds no state: prototypes, queues and schedules belong to the method.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.precision import at_least_float32


def prototype_scores(projections: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines between projections and prototypes.

    projections: (B, D), any scale; prototypes: (K, D), unit rows. Returns (B, K) in [-1, 1], in float32 at least: in
    half precision the scores would be off by several percent of what the temperature makes of them.
    """
    with torch.autocast(device_type=projections.device.type, enabled=False):
        z = F.normalize(at_least_float32(projections), dim=1)
        return z @ prototypes.to(z.dtype).T


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes that use all prototypes alike: Sinkhorn-Knopp on exp(scores / epsilon) (SwAV, arXiv:2006.09882, Eq. 3-5).

    scores: (B, K), of samples and prototypes; epsilon > 0: entropy of the codes; iterations >= 1. Each iteration
    gives every prototype the same mass and then every sample the mass 1. Returns (B, K) float32 at least, without
    gradient; rows sum to 1, columns to B / K as the iterations grow. The iterations run on logarithms, each less its
    maximum, so that no epsilon overflows and no prototype's mass underflows to 0.
    """
    if iterations < 1:
        raise ValueError(f"Sinkhorn needs at least 1 iteration, not {iterations}")
    with torch.autocast(device_type=scores.device.type, enabled=False):
        codes = at_least_float32(scores) / epsilon
        for _ in range(iterations):
            codes = codes.log_softmax(dim=0)
            codes = codes.log_softmax(dim=1)
        return codes.exp()


def swapped_prediction(
    scores_a: Tensor, scores_b: Tensor, codes_a: Tensor, codes_b: Tensor, temperature: float
) -> Tensor:
    """The code of a view is predicted from the other view (SwAV, arXiv:2006.09882, Eq. 1-2), averaged over both.

    scores_a, scores_b: (B, K); codes_a, codes_b: (B, K), rows that sum to 1, taken as constants. Returns the scalar
    mean over the B images and the two directions of the cross-entropy between a code and softmax(scores /
    temperature), as the official code does (Eq. 1 is the sum of the two directions): at least the mean entropy of the
    codes, and log K where the scores of each sample are equal, whatever the codes.
    """
    with torch.autocast(device_type=scores_a.device.type, enabled=False):
        losses = []
        for scores, codes in ((scores_a, codes_b), (scores_b, codes_a)):
            log_p = (at_least_float32(scores) / temperature).log_softmax(dim=1)
            losses.append(-(codes.detach() * log_p).sum(dim=1).mean())
        return (losses[0] + losses[1]) / 2


@torch.no_grad()
def effective_prototypes(scores: Tensor) -> Tensor:
    """How many prototypes are in use: exp of the entropy of the nearest prototypes of a batch.

    scores: (B, K). Returns a scalar in [1, min(B, K)]: 1 where all samples are nearest to one prototype, K where all
    prototypes are the nearest of equally many. Soft assignments would not tell: a collapsed batch has them uniform.
    """
    nearest = scores.argmax(dim=1, keepdim=True)
    # Compared rather than counted by bincount, which would wait for the device.
    shares = (nearest == torch.arange(scores.shape[1], device=scores.device)).float().mean(dim=0)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()
