"""Random numbers for a batch of images, one row per image, always drawn on the CPU."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def uniform(generator: Generator, count: int, limits: Sequence[float], *columns: int) -> Tensor:
    """Return (count, *columns) float32, uniform between the two limits."""
    low, high = limits
    return torch.rand(count, *columns, generator=generator).mul_(high - low).add_(low)


def happens(generator: Generator, count: int, probability: float) -> Tensor:
    """Return (count,) bool: whether a step of this probability is applied to each image."""
    return torch.rand(count, generator=generator) < probability


def whole(generator: Generator, choices: Tensor) -> Tensor:
    """Return whole numbers as float32, uniform in 0 ... choices - 1 of each row; choices: (count,), at least 1."""
    drawn = torch.rand(len(choices), generator=generator).mul_(choices).floor_()
    return torch.minimum(drawn, choices - 1)  # float32 may round u * choices up to choices
