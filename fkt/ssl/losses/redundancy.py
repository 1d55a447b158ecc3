"""The losses of Barlow Twins and VICReg, which prevent collapse by statistics of the batch instead of negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.similarity import check_pair, full_precision

STANDARDIZE_EPS = 1e-5
"""Added to the variances of Barlow Twins; the value of the batch normalization in its official code."""
VARIANCE_EPS = 1e-4
"""Added to the variances of VICReg (arXiv:2105.04906, Eq. 2)."""


@full_precision
def cross_correlation(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Return the correlations over the batch of the dimensions of two views (Barlow Twins, arXiv:2103.03230, Eq. 2).

    z_a, z_b: (B, D) projections, B >= 2; row i of each comes from image i. Each dimension of a view is standardized by
    its mean and its biased variance + 1e-5. Returns (D, D) in [-1, 1]; rows and columns of constant dimensions are 0.
    """
    _check(z_a, z_b)
    return _standardized(z_a).T @ _standardized(z_b) / len(z_a)


def barlow_twins(correlation: Tensor, redundancy_weight: float) -> Tensor:
    """Sum of (1 - C_ii)^2 plus redundancy_weight times the sum of C_ij^2 for i != j (arXiv:2103.03230, Eq. 1).

    correlation: (D, D), see cross_correlation. Returns a scalar: 0 for the identity, D for uncorrelated views.
    """
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + redundancy_weight * off_diagonal(correlation).square().sum()


@full_precision
def vicreg(z_a: Tensor, z_b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unweighted terms of VICReg, scalars of at least 0 (arXiv:2105.04906, Sec. 4.1).

    Invariance: mean over images and dimensions of the squared difference of the views (Eq. 5, divided by D).
    Variance: mean over dimensions and views of max(0, 1 - sqrt(Var + 1e-4)) (Eq. 1; Eq. 6 sums the views); 0.99 for
    constant projections. Covariance: sum over i != j and views of Cov_ij^2 / D (Eq. 4). Both means are those of the
    official code. z_a, z_b: (B, D) projections, B >= 2; row i of each comes from image i.
    """
    _check(z_a, z_b)
    invariance = F.mse_loss(z_a, z_b)
    centered = [z - z.mean(dim=0) for z in (z_a, z_b)]
    covariances = [z.T @ z / (len(z) - 1) for z in centered]  # (D, D)
    hinges = [F.relu(1 - (c.diagonal() + VARIANCE_EPS).sqrt()).mean() for c in covariances]
    redundancies = [off_diagonal(c).square().sum() / len(c) for c in covariances]
    return invariance, (hinges[0] + hinges[1]) / 2, redundancies[0] + redundancies[1]


def off_diagonal(matrix: Tensor) -> Tensor:
    """Return a square matrix with zeros on its diagonal."""
    return matrix - matrix.diagonal().diag()


def _standardized(z: Tensor) -> Tensor:
    variance, mean = torch.var_mean(z, dim=0, correction=0)
    return (z - mean) * (variance + STANDARDIZE_EPS).rsqrt()


def _check(z_a: Tensor, z_b: Tensor) -> None:
    check_pair(z_a, z_b)
    if len(z_a) < 2:
        raise ValueError(f"the statistics of a batch need at least 2 images, not {len(z_a)}")
