"""Losses that compare two batches of embeddings row by row, and the checks and precision of all losses."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def full_precision(loss: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a loss to run in float32, or float64 for float64 inputs, even inside autocast.

    Half precision would change cosines by several percent of what a small temperature makes of them.
    """

    @wraps(loss)
    def computed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        tensors = [argument for argument in args if isinstance(argument, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            return loss(*map(_at_least_float32, args), **kwargs)  # type: ignore[arg-type]

    return computed


def _at_least_float32(argument: object) -> object:
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.to(torch.promote_types(argument.dtype, torch.float32))
    return argument


def check_pair(a: Tensor, b: Tensor) -> None:
    """Raise ValueError unless both tensors have the same shape (B, D)."""
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"embeddings must have the same shape (B, D), not {tuple(a.shape)} and {tuple(b.shape)}")


@full_precision
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Negative cosine similarity (SimSiam, arXiv:2011.10566, Eq. 1), a mean over rows.

    p, z: (B, D), any scale; row i of each comes from image i. Returns a scalar in [-1, 1]: -1 if all pairs are
    parallel. Both arguments receive a gradient; the caller stops one. Raises ValueError if the shapes differ.
    """
    check_pair(p, z)
    return -(F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(dim=1).mean()


def byol_loss(p: Tensor, z: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 - 2 cos(p, z) (BYOL, arXiv:2006.07733, Eq. 2), a mean over rows.

    Arguments: see negative_cosine. Returns a scalar in [0, 4]: 0 if all pairs are parallel, 2 if they are orthogonal.
    """
    return 2 + 2 * negative_cosine(p, z)


@torch.no_grad()
@full_precision
def embedding_health(z: Tensor) -> dict[str, Tensor]:
    """Return two signs of collapse of embeddings z (B, D), B >= 2, any scale.

    ``projection_std``: standard deviation of the unit vectors, relative to 1 / sqrt(D) (SimSiam, arXiv:2011.10566,
    Sec. 4.1); about 1 is healthy, 0 is one point for all images. ``projection_rank``: participation ratio
    tr(C)^2 / tr(C^2) of their covariance C, between 1 and min(B - 1, D); near 1 they lie on a line, which the
    standard deviation does not show.
    """
    unit = F.normalize(z, dim=1)
    centered = unit - unit.mean(dim=0)
    gram = centered @ centered.T  # has the eigenvalues of the covariance, whatever D
    rank = gram.trace().square() / gram.square().sum().clamp_min(torch.finfo(gram.dtype).tiny)
    return {"projection_std": unit.std(dim=0).mean() * z.shape[1] ** 0.5, "projection_rank": rank}
