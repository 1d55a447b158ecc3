"""Intervals and tests for the difference in accuracy between two arms. Imports no other module of fkt.

The input of each comparison is two arrays of bool, ``correct_a`` and ``correct_b``, of shape (seeds, images): whether
the model of seed s classifies image n correctly. Row s of both arrays has the same seed, column n the same image.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Correct = NDArray[np.bool_]
MAX_SEEDS = 40
"""The exact test by seeds sorts 2^20 sums for each half of the seeds."""


@dataclass(frozen=True)
class Comparison:
    """Arm a minus arm b, on the same seeds and test images. Accuracies and differences are fractions."""

    name_a: str
    name_b: str
    difference: float
    """Mean accuracy of a minus mean accuracy of b, over all seeds."""
    low: float
    """Lower end of the interval of ``paired_bootstrap``."""
    high: float
    """Upper end."""
    p_both: float
    """p-value of ``mean_test`` (other images and other seeds), not adjusted for other comparisons."""
    p_images: float
    """p-value of ``exact_image_test`` (other images), not adjusted for other comparisons."""
    p_seeds: float
    """p-value of ``exact_seed_test`` (other seeds); nan for more than 40 seeds."""


def compare(
    name_a: str, name_b: str, correct_a: Correct, correct_b: Correct, *, samples: int, confidence: float, seed: int
) -> Comparison:
    """Compare two arms.

    correct_a, correct_b: (S, N) bool. samples, seed: resamples and random seed of the bootstrap. confidence: level of
    its interval, in (0, 1). Raises ValueError if the arrays do not form pairs.
    """
    by_seed = paired_difference(correct_a, correct_b).mean(axis=1).tolist()
    low, high = paired_bootstrap(correct_a, correct_b, samples, confidence, seed)
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        difference=fmean(by_seed),
        low=low,
        high=high,
        p_both=mean_test(correct_a, correct_b),
        p_images=exact_image_test(correct_a, correct_b),
        p_seeds=exact_seed_test(by_seed) if len(by_seed) <= MAX_SEEDS else math.nan,
    )


def significant(comparisons: Sequence[Comparison], confidence: float) -> list[bool]:
    """Return for each comparison whether its difference is significant.

    Three conditions must hold: the interval excludes 0, and the p-values over images and seeds and over images alone,
    each adjusted by Holm for all given comparisons, are below 1 - confidence. The first p-value guards against lucky
    seeds, the second (which is exact) against lucky images. The interval is not widened for several comparisons; with
    it, no significant difference has a printed interval that contains 0.

    In simulations of five equal arms whose seeds differ much, at least one difference was significant at 95 % in 4 %
    of the cases with 8 seeds, but in 18 % with 3 seeds: see ``mean_test``.
    """
    return [
        not comparison.low <= 0 <= comparison.high and max(p_values) < 1 - confidence
        for comparison, p_values in zip(comparisons, adjusted(comparisons), strict=True)
    ]


def adjusted(comparisons: Sequence[Comparison]) -> list[tuple[float, float]]:
    """Return ``p_both`` and ``p_images`` of each comparison, each adjusted by Holm for the number of comparisons."""
    both = holm([comparison.p_both for comparison in comparisons])
    images = holm([comparison.p_images for comparison in comparisons])
    return list(zip(both, images, strict=True))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple tests (Holm 1979). Returns them in the given order.

    Rejecting each hypothesis whose adjusted p is at most alpha rejects any true hypothesis with probability at most
    alpha, also if the tests depend on each other.
    """
    values = np.array(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    values[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(values), 0, -1) * values[order]))
    result: list[float] = values.tolist()
    return result


def paired_difference(correct_a: Correct, correct_b: Correct) -> NDArray[np.int64]:
    """Return a - b for every seed and image: (S, N) in {-1, 0, 1}. Raises ValueError if the arrays do not match."""
    if correct_a.shape != correct_b.shape or correct_a.ndim != 2 or correct_a.size == 0:
        raise ValueError(
            f"shapes {correct_a.shape} and {correct_b.shape}; both must be the same (seeds, images), at least one each"
        )
    if correct_a.dtype != np.bool_ or correct_b.dtype != np.bool_:
        raise ValueError(f"{correct_a.dtype} and {correct_b.dtype} are not bool: true means a correct prediction")
    return correct_a.astype(np.int64) - correct_b


def paired_bootstrap(
    correct_a: Correct, correct_b: Correct, samples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Return the interval of the mean accuracy difference a - b, over test images and seeds, in [-1, 1].

    correct_a, correct_b: (S, N) bool. Each resample draws S seeds and N images with replacement, independently, the
    same for both arms (the pigeonhole bootstrap, Owen 2007, arXiv:0712.1111). Its percentiles alone are wrong with few
    seeds: three seeds drawn again and again vary less than three new seeds would, and the interaction of seeds and
    images is counted three times. Therefore the resamples give only the shape. Their deviations from the mean are
    scaled by one factor: from their own spread to the unbiased standard error of ``variance``, and from the quantile
    of the normal distribution to that of Student's t.

    With one seed, the interval is for other images with these same models. With more, it is for other images and other
    seeds; both count as independent draws, and the splits as fixed. The result is deterministic and does not depend on
    the order of the images. Raises ValueError if the arrays do not form pairs.
    """
    difference = paired_difference(correct_a, correct_b)
    means = _resampled_means(difference, samples, np.random.default_rng(seed))
    spread = float(means.std())
    center = float(difference.mean())
    if spread == 0:
        return center, center
    total, freedom = variance(difference)
    upper = (1 + confidence) / 2
    stretch = stats.t.ppf(upper, freedom) / stats.norm.ppf(upper) * math.sqrt(total) / spread
    low, high = center + stretch * (np.quantile(means, [1 - upper, upper]) - center)
    return max(-1.0, float(low)), min(1.0, float(high))


def mean_test(correct_a: Correct, correct_b: Correct) -> float:
    """Return the two-sided p-value of "both arms are equally accurate", for other test images and other seeds.

    correct_a, correct_b: (S, N) bool. Student's t test of the mean difference, with the standard error and the degrees
    of freedom of ``variance``. With one seed, it is for other images with these same models. The test is approximate:
    at the level 0.05, its error rate is about 0.05 from 5 seeds on, but 5 to 7 % with 3 seeds and 8 to 9 % with 2,
    because the spread of so few seeds is hardly known. Adjusting for several comparisons uses smaller p-values, which
    are less exact. Raises ValueError if the arrays do not form pairs.
    """
    difference = paired_difference(correct_a, correct_b)
    mean, (total, freedom) = float(difference.mean()), variance(difference)
    if mean == 0 or total == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / math.sqrt(total), freedom))


def variance(difference: NDArray[np.int64]) -> tuple[float, float]:
    """Return the squared standard error of the mean of (S, N) differences, and its degrees of freedom.

    Seeds and images are both random, and crossed. The estimate is [MS(seeds) + MS(images) - MS(rest)] / (S N), from the
    mean squares of the two-way layout; it is used if several readers judge the same cases (Hillis 2007,
    doi:10.1002/sim.2532). It is at least what the seeds alone, or the images alone, give. With one seed, or one image,
    that dimension counts as fixed. The degrees of freedom are those of Satterthwaite (1946).
    """
    num_seeds, num_images = difference.shape
    center = difference.mean()
    by_seed = difference.mean(axis=1) - center
    by_image = difference.mean(axis=0) - center
    rest = difference - by_seed[:, None] - by_image - center
    parts = [
        (float(np.square(deviations).sum() / (freedom * deviations.size)), freedom) if freedom else (0.0, 1)
        for deviations, freedom in (
            (by_seed, num_seeds - 1),
            (by_image, num_images - 1),
            (rest, (num_seeds - 1) * (num_images - 1)),
        )
    ]
    seeds, images, both = (part for part, _ in parts)
    total = max(seeds, images, seeds + images - both)
    doubt = sum(part**2 / freedom for part, freedom in parts)
    return total, max(1.0, total**2 / doubt) if doubt > 0 else math.inf


def _resampled_means(
    difference: NDArray[np.int64], samples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean difference of each two-way resample: (samples,).

    Images with the same differences in all seeds are interchangeable. So this draws how many images of each kind are in
    a resample, which has the same distribution as drawing single images and is much cheaper.
    """
    num_seeds, num_images = difference.shape
    kinds, counts = np.unique(difference.T, axis=0, return_counts=True)  # (U, S), (U,)
    images = generator.multinomial(num_images, counts / num_images, size=samples) / num_images  # (samples, U)
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=samples) / num_seeds
    means: NDArray[np.float64] = np.einsum("bs,bs->b", images @ kinds, seeds)
    return means


# Both exact tests flip signs (Fisher's randomization test): if the arms are exchangeable, each paired difference could
# as well have the other sign, so every pattern of signs is equally likely. p is the share of the patterns whose sum is
# at least as far from 0 as the observed sum. The tests differ in the unit: a pair is an image, or a seed.


def exact_image_test(correct_a: Correct, correct_b: Correct) -> float:
    """Return the two-sided exact p-value of "no arm is better on any test image", for these same trained models.

    correct_a, correct_b: (S, N) bool. The unit is the image: its difference, summed over seeds, is a whole number in
    -S..S and keeps or changes its sign with probability 1/2. With one seed this is McNemar's exact test. It assumes
    independent images, and generalizes to other images from the same source. It says nothing about models with other
    seeds. The distribution of the sum is a convolution of one binomial for each size of difference. p is at least
    2e-308, the smallest normal float64. Raises ValueError if the arrays do not form pairs.
    """
    difference = paired_difference(correct_a, correct_b).sum(axis=0)
    sizes = np.bincount(np.abs(difference))
    ways = np.ones(1)  # ways[x]: probability that the positive differences add up to x
    for size, count in enumerate(sizes.tolist()):
        if size > 0 and count > 0:
            ways = _add_binomial(ways, size, stats.binom.pmf(np.arange(count + 1), count, 0.5))
    observed = abs(int(difference.sum()))
    if observed == 0:
        return 1.0
    largest = len(ways) - 1  # the sum of signed differences is 2 x - largest
    tail = float(ways[(largest + observed) // 2 :].sum())
    return min(1.0, max(2 * tail, sys.float_info.min))


def _add_binomial(ways: NDArray[np.float64], size: int, binomial: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve with a binomial in steps of ``size``. All terms are positive, so no precision is lost."""
    result = np.zeros(len(ways) + size * (len(binomial) - 1))
    for start in range(min(size, len(ways))):  # positions with the same remainder
        row = np.convolve(ways[start::size], binomial)
        result[start::size][: len(row)] = row
    return result


def exact_seed_test(differences: Sequence[float]) -> float:
    """Return the two-sided exact p-value of "no arm is better", with the seed as the unit.

    differences: (S,) mean accuracy difference of each seed. The test assumes independent seeds, and generalizes to
    models with other seeds, on these same test images. p is at least ``smallest_p(S)``. Sums are compared with a
    tolerance of 1e-12 of their size, so that equal sums count as equal. Raises ValueError unless S is 1 to 40.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not 1 <= len(values) <= MAX_SEEDS:
        raise ValueError(f"{len(values)} differences; the exact test by seeds takes 1 to {MAX_SEEDS}")
    tolerance = 1e-12 * float(np.abs(values).sum())
    observed = abs(float(values.sum()))
    if observed <= tolerance:
        return 1.0
    half = len(values) // 2
    left, right = np.sort(_signed_sums(values[:half])), _signed_sums(values[half:])
    # A pattern is a left and a right half. Count the pairs whose sum reaches the observed one.
    extreme = int((len(left) - np.searchsorted(left, observed - tolerance - right)).sum())
    return min(1.0, math.ldexp(extreme, 1 - len(values)))


def smallest_p(num_seeds: int) -> float:
    """Return the smallest p-value of ``exact_seed_test``: 2 of the 2^S patterns of signs are the most extreme."""
    return min(1.0, math.ldexp(1.0, 1 - num_seeds))


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of n values under every pattern of signs: (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
