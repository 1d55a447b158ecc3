"""How far a mean over few seeds and many test images may be off. Knows arrays of hits and misses, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fkt.report.significance import paired_difference


def paired_bootstrap(
    correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_], samples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Interval of the mean accuracy difference a - b over test images and seeds, in [-1, 1].

    correct_a, correct_b: (S, N) bool, paired by seed and image. Each of the ``samples`` resamples draws S seeds and
    N images with replacement, independently, the same for both arms (the pigeonhole bootstrap, Owen 2007,
    arXiv:0712.1111). Its percentiles alone mislead with few seeds: three seeds seen again and again spread less than
    three new ones would, while what seeds and images do together is counted three times. So the resamples give the
    shape, and their deviations from the mean are stretched by one factor: to the unbiased standard error of
    ``variance``, and from the normal to Student's t quantile.

    With one seed nothing is known of others, and the interval speaks of these models on other images. With more it
    generalizes to other images and other seeds; both are taken to be independent draws, the splits to be fixed.
    Deterministic, and independent of the order of the images. Raises ValueError where the arrays are no pair.
    """
    difference = paired_difference(correct_a, correct_b)
    means = _resampled_means(difference, samples, np.random.default_rng(seed))
    spread = float(means.std())
    center = float(difference.mean())
    if spread == 0:
        return center, center
    error = variance(difference)
    stretch = error.quantile(confidence) / NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(error.total) / spread
    tail = (1 - confidence) / 2
    low, high = center + stretch * (np.quantile(means, [tail, 1 - tail]) - center)
    return max(-1.0, float(low)), min(1.0, float(high))


def mean_test(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """Two-sided p-value of "the arms are equally accurate", for other test images and other seeds.

    correct_a, correct_b: (S, N) bool, paired by seed and image. Student's t of the mean difference, with the standard
    error and the degrees of freedom of ``variance``; with one seed it speaks of these models on other images. It is an
    approximation: at 0.05 it errs as often as it says from 5 seeds on, but in 5 to 7 % of the cases with 3 seeds and
    in 8 to 9 % with 2, where the spread of seeds is hardly known, and adjusting for several comparisons reaches into
    tails that are less exact still. Raises ValueError where the arrays are no pair.
    """
    difference = paired_difference(correct_a, correct_b)
    return variance(difference).p_value(float(difference.mean()))


@dataclass(frozen=True)
class Variance:
    """Squared standard error of a mean over seeds and images, and how well it is known."""

    total: float
    freedom: float
    """Degrees of freedom (Satterthwaite 1946)."""

    def quantile(self, confidence: float) -> float:
        """Two-sided quantile of Student's t."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, (1 + confidence) / 2))

    def p_value(self, mean: float) -> float:
        """Two-sided p of a mean this far from 0, by Student's t."""
        from scipy.special import stdtr

        if mean == 0 or self.total == 0:
            return 1.0 if mean == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(mean) / math.sqrt(self.total)))


def variance(difference: NDArray[np.int64]) -> Variance:
    """Variance of the mean of (S, N) differences, seeds and images both being random and crossed.

    From the mean squares of the two-way layout: [MS(seeds) + MS(images) - MS(rest)] / (S N), the estimate used where
    several readers judge the same cases (Hillis 2007, doi:10.1002/sim.2532). It is kept from falling below what
    seeds alone, or images alone, give. With one seed, or one image, that dimension is taken as fixed.
    """
    num_seeds, num_images = difference.shape
    center = difference.mean()
    by_seed = difference.mean(axis=1) - center
    by_image = difference.mean(axis=0) - center
    rest = difference - by_seed[:, None] - by_image - center
    parts = [
        _squared_error(by_seed, num_seeds - 1, num_seeds),
        _squared_error(by_image, num_images - 1, num_images),
        _squared_error(rest, (num_seeds - 1) * (num_images - 1), num_seeds * num_images),
    ]
    (seeds, _), (images, _), (both, _) = parts
    total = max(seeds, images, seeds + images - both)
    doubt = sum(part**2 / freedom for part, freedom in parts if freedom > 0)
    return Variance(total, max(1.0, total**2 / doubt) if doubt > 0 else math.inf)


def _squared_error(deviations: NDArray[np.float64], freedom: int, count: int) -> tuple[float, int]:
    """Sum of squares over its degrees of freedom and over the number of terms; 0 where nothing is free."""
    return float(np.square(deviations).sum() / (freedom * count)) if freedom > 0 else 0.0, freedom


def _resampled_means(
    difference: NDArray[np.int64], samples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Mean difference of each two-way resample: (samples,).

    Images with the same differences in all seeds are interchangeable, so only how many of each kind are drawn is
    drawn: the same distribution as drawing images one by one, at a small part of the cost.
    """
    num_seeds, num_images = difference.shape
    kinds, counts = np.unique(difference.T, axis=0, return_counts=True)  # (U, S), (U,)
    images = generator.multinomial(num_images, counts / num_images, size=samples) / num_images  # (samples, U)
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=samples) / num_seeds
    means: NDArray[np.float64] = np.einsum("bs,bs->b", images @ kinds, seeds)
    return means
