"""Two arms on the same test images and seeds: the difference, its interval, its tests. Opens no file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from fkt.report.intervals import mean_test, paired_bootstrap
from fkt.report.significance import MAX_SEEDS, exact_image_test, exact_seed_test, holm, paired_difference


@dataclass(frozen=True)
class Comparison:
    """Arm a against arm b on the same seeds and test images; accuracies and differences are fractions."""

    name_a: str
    name_b: str
    difference: float
    """Accuracy of a minus accuracy of b, mean over seeds."""
    low: float
    """Lower end of the interval over images and seeds; see ``paired_bootstrap``."""
    high: float
    p_both: float
    """For other images and other seeds, of ``mean_test``, not adjusted for other comparisons."""
    p_images: float
    """Of the exact test by images, not adjusted for other comparisons."""
    p_seeds: float
    """Of the exact test by seeds, never below ``smallest_p(num_seeds)``; nan beyond 40 seeds."""
    num_seeds: int


def compare(
    name_a: str,
    name_b: str,
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    """Compare two arms by their hits (S, N) bool, row s of both of one seed and column n of both of one image.

    samples, seed: of the bootstrap; confidence: of its interval. Raises ValueError where the arrays are no pair.
    """
    by_seed = paired_difference(correct_a, correct_b).mean(axis=1).tolist()
    low, high = paired_bootstrap(correct_a, correct_b, samples, confidence, seed)
    num_seeds = len(by_seed)
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        difference=fmean(by_seed),
        low=low,
        high=high,
        p_both=mean_test(correct_a, correct_b),
        p_images=exact_image_test(correct_a, correct_b),
        p_seeds=exact_seed_test(by_seed) if num_seeds <= MAX_SEEDS else math.nan,
        num_seeds=num_seeds,
    )


def distinguished(comparisons: Sequence[Comparison], confidence: float) -> list[bool]:
    """Say of each difference whether it is told from noise: three conditions, all needed.

    Both tests, over images and seeds and over images alone, are below 1 - confidence after Holm's adjustment for all
    the comparisons given, and the interval excludes 0. The first guards against luck of the seeds, the second, being
    exact, against luck of the images. The interval is for its own comparison and not widened for the others: it is
    asked so that no difference is told from noise whose printed interval holds 0.

    In simulations of five equal arms, whose seeds differ much, some difference was told from noise at 95 % in 4 % of
    the cases with 8 seeds, but in 18 % with 3: see ``mean_test``.
    """
    return [
        not comparison.low <= 0 <= comparison.high and max(p_both, p_images) < 1 - confidence
        for comparison, (p_both, p_images) in zip(comparisons, adjusted(comparisons), strict=True)
    ]


def adjusted(comparisons: Sequence[Comparison]) -> list[tuple[float, float]]:
    """Return ``p_both`` and ``p_images`` of each comparison, either adjusted by Holm for being several."""
    both = holm([comparison.p_both for comparison in comparisons])
    images = holm([comparison.p_images for comparison in comparisons])
    return list(zip(both, images, strict=True))
