"""Losses that prevent collapse by the statistics of a batch, without negatives: Barlow Twins and VICReg."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.precision import at_least_float32

STANDARDIZE_EPS = 1e-5
"""Added to the variances in Barlow Twins: that of the batch normalization in its official code."""
VARIANCE_EPS = 1e-4
"""Added to the variances in VICReg (arXiv:2105.04906, Eq. 2)."""


def cross_correlation(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Correlation over the batch between the dimensions of two views (Barlow Twins, arXiv:2103.03230, Eq. 2).

    z_a, z_b: (B, D) projections, row i of each from image i; B >= 2. Each dimension is standardized by its mean and
    biased variance (plus 1e-5) in its view. Returns (D, D) in [-1, 1], in float32 at least; 0 in the rows and columns
    of a constant dimension.
    """
    _check(z_a, z_b)
    with torch.autocast(device_type=z_a.device.type, enabled=False):
        return _standardized(z_a).T @ _standardized(z_b) / len(z_a)


def barlow_twins(correlation: Tensor, redundancy_weight: float) -> Tensor:
    """Sum of (1 - C_ii)^2, plus redundancy_weight times the sum of C_ij^2 over i != j (arXiv:2103.03230, Eq. 1).

    correlation: (D, D), of cross_correlation. Returns a scalar: 0 for the identity, D for uncorrelated views, 4 D where
    one view is the negative of the other and its dimensions are uncorrelated.
    """
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + redundancy_weight * _off_diagonal(correlation).square().sum()


class VICRegTerms(NamedTuple):
    """The three terms of VICReg, unweighted scalars, each at least 0."""

    invariance: Tensor
    """Mean over images and dimensions of the squared difference of the two views (Eq. 5, divided by D)."""
    variance: Tensor
    """Mean over dimensions of max(0, 1 - sqrt(Var + 1e-4)) (Eq. 1), averaged over the views: 0.99 at collapse."""
    covariance: Tensor
    """Sum over i != j of Cov_ij^2 / D (Eq. 4), summed over the views."""


def vicreg(z_a: Tensor, z_b: Tensor) -> VICRegTerms:
    """Variance, invariance and covariance of two views (VICReg, arXiv:2105.04906, Sec. 4.1), in float32 at least.

    z_a, z_b: (B, D) projections, row i of each from image i; B >= 2, as variances and covariances are those of a
    sample (divided by B - 1). Scaled as in the official code: the invariance is a mean over the D dimensions too, where
    Eq. 5 sums them, and the variance is the mean of the two views, where Eq. 6 sums them.
    """
    _check(z_a, z_b)
    with torch.autocast(device_type=z_a.device.type, enabled=False):
        views = [at_least_float32(z) for z in (z_a, z_b)]
        invariance = F.mse_loss(views[0], views[1])
        centered = [z - z.mean(dim=0) for z in views]
        covariances = [z.T @ z / (len(z) - 1) for z in centered]  # (D, D)
        hinges = [F.relu(1 - (c.diagonal() + VARIANCE_EPS).sqrt()).mean() for c in covariances]
        redundancies = [_off_diagonal(c).square().sum() / len(c) for c in covariances]
        return VICRegTerms(invariance, (hinges[0] + hinges[1]) / 2, redundancies[0] + redundancies[1])


def _standardized(z: Tensor) -> Tensor:
    z = at_least_float32(z)
    variance, mean = torch.var_mean(z, dim=0, correction=0)
    return (z - mean) * (variance + STANDARDIZE_EPS).rsqrt()


def _off_diagonal(matrix: Tensor) -> Tensor:
    """The matrix with zeros on its diagonal: exact, where subtracting sums of squares would cancel."""
    return matrix - matrix.diagonal().diag()


def _check(z_a: Tensor, z_b: Tensor) -> None:
    if z_a.shape != z_b.shape or z_a.ndim != 2:
        raise ValueError(f"views must have one shape (B, D), not {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    if len(z_a) < 2:
        raise ValueError(f"the statistics of a batch need at least 2 images, not {len(z_a)}")
