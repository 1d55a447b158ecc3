"""Simulated predictions of several arms on the same seeds and test images: true where a prediction is correct."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def several_arms(
    gains: Sequence[float], num_seeds: int, num_images: int, generator: np.random.Generator, seed_std: float
) -> list[NDArray]:
    """One array (seeds, images) for each gain. Images differ in difficulty, seeds in luck, and both interact."""
    difficulty = generator.normal(1.5, 1.0, num_images)
    found = []
    for gain in gains:
        luck = generator.normal(0, seed_std, (num_seeds, 1))
        taste = generator.normal(0, 0.5, num_images)
        noise = generator.normal(0, 0.7, (num_seeds, num_images))
        found.append(difficulty + gain + luck + taste + noise > 0)
    return found


def two_arms(num_seeds: int, num_images: int, seed: int = 0, seed_std: float = 0.2, gain: float = 0.0) -> list[NDArray]:
    """Two arms; the first is better by the gain."""
    return several_arms([gain, 0.0], num_seeds, num_images, np.random.default_rng(seed), seed_std)


def pair(difference: list[list[int]]) -> tuple[NDArray, NDArray]:
    """Two arms with these differences; both are right about the images on which they agree."""
    array = np.array(difference)
    return array >= 0, array <= 0
