"""Made-up hits and misses of arms on the same seeds and test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def arms(
    num_seeds: int, num_images: int, generator: np.random.Generator, seed_std: float, gain: float = 0.0
) -> list[NDArray]:
    """Hits of two arms, the first of which is better by the gain."""
    return several_arms([gain, 0.0], num_seeds, num_images, generator, seed_std)


def several_arms(
    gains: Sequence[float], num_seeds: int, num_images: int, generator: np.random.Generator, seed_std: float
) -> list[NDArray]:
    """Hits of arms: images of different difficulty, seeds of different luck, and what both do together."""
    difficulty = generator.normal(1.5, 1.0, num_images)
    found = []
    for gain in gains:
        luck = generator.normal(0, seed_std, (num_seeds, 1))
        taste = generator.normal(0, 0.5, num_images)
        noise = generator.normal(0, 0.7, (num_seeds, num_images))
        found.append(difficulty + gain + luck + taste + noise > 0)
    return found


def hits(difference: list[list[int]]) -> tuple[NDArray, NDArray]:
    """Arms with these differences, images on which both agree being right in both."""
    array = np.array(difference)
    return array >= 0, array <= 0
