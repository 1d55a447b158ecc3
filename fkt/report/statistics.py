"""Intervals and verdicts for the difference between two arms. Imports no other module of fkt.

The input of each comparison is two arrays of float, ``values_a`` and ``values_b``, of shape (seeds, images): what image
n contributes to the score of the model of seed s (see scores.py). For accuracy that is 1 if the model is right,
otherwise 0. Row s of both arrays has the same seed, column n the same image.

Both the seeds and the test images are random draws, and they are crossed: each seed is scored on each image. The
standard error of a mean difference counts both. docs/statistics.md says in plain words what this means.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
MIN_SEEDS = 5
"""Fewer seeds give no verdict: how much seeds differ is then hardly known."""
MAX_SEEDS = 200
"""Largest number of seeds that ``needed_seeds`` proposes."""
POWER = 0.8
"""Probability of a decision, for the numbers of seeds and images that are proposed."""


class Level(NamedTuple):
    """How sure an interval is."""

    confidence: float
    """Probability that all intervals of a family contain the true difference, in (0, 1)."""
    contrasts: int = 1
    """Number of intervals of the family (Bonferroni)."""

    def reach(self, freedom: int) -> float:
        """Return half the width of an interval in standard errors: a quantile of Student's t."""
        return float(stats.t.isf((1 - self.confidence) / (2 * self.contrasts), freedom))


class Spread(NamedTuple):
    """Standard deviations of one difference a - b: of a single image in a single seed, by their source.

    If test images belong to groups, they are those of independent images that would give the same standard error.
    """

    seeds: float
    """Between seeds: the same for all images of a seed."""
    images: float
    """Between images: the same in all seeds."""
    rest: float
    """What is left: one image in one seed."""

    def error(self, num_seeds: int, num_images: float) -> float:
        """Return the standard error of the mean difference over so many seeds and images."""
        both = self.rest**2 / (num_seeds * num_images)
        return math.sqrt(self.seeds**2 / num_seeds + self.images**2 / num_images + both)


@dataclass(frozen=True)
class Comparison:
    """Arm a minus arm b, on the same seeds and test images. Scores and differences are fractions."""

    name_a: str
    name_b: str
    difference: float
    """Mean difference over all seeds and images."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""
    p: float
    """Two-sided p-value of "both arms are equal", adjusted for the family of intervals: it is below 1 - confidence
    if and only if the interval excludes 0."""
    spread: Spread
    by_seed: list[float]
    """The mean difference of each seed."""


def compare(
    name_a: str, name_b: str, values_a: Values, values_b: Values, level: Level, groups: NDArray[np.int64] | None = None
) -> Comparison:
    """Compare two arms for other test images and other seeds; with one seed, for other images and this same seed.

    values_a, values_b: (S, N). groups: (N,) equal for images that belong together; N is then the number of groups, and
    the values are those of ``group_sums``. None: all images are independent.
    The interval is mean +- t * standard error. t is the quantile of Student's distribution with S - 1 degrees of
    freedom, as in a paired t-test over seeds: few seeds never give a narrow interval by luck. The squared standard
    error is [MS(seeds) + MS(images) - MS(rest)] / (S N), from the mean squares of the two-way layout (Hillis 2007,
    doi:10.1002/sim.2532), and at least what the seeds alone, the images alone, or two images of opposite sign give. The
    last bound keeps two arms that are right about the same images from being equal with certainty.
    Raises ValueError if the arrays do not form pairs.
    """
    if values_a.shape != values_b.shape or values_a.ndim != 2 or values_a.size == 0:
        raise ValueError(
            f"shapes {values_a.shape} and {values_b.shape}; both must be the same (seeds, images), at least one each"
        )
    difference = np.asarray(values_a, np.float64) - values_b
    if groups is not None:
        difference = group_sums(difference, groups)
    num_seeds, num_images = difference.shape
    each = values_a.shape[1] / num_images
    seeds, images, rest = mean_squares(difference)
    floor = math.sqrt(2) / (num_images + 2)
    error = max(floor, math.sqrt(max(seeds, images, seeds + images - rest) / difference.size))
    freedom = num_seeds - 1 or num_images - 1
    center = float(difference.mean())
    reach = level.reach(freedom) * error if freedom else math.inf
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        difference=center,
        low=max(-1.0, center - reach),
        high=min(1.0, center + reach),
        p=min(1.0, level.contrasts * float(2 * stats.t.sf(abs(center) / error, freedom))) if freedom else 1.0,
        spread=Spread(
            math.sqrt(max(0.0, seeds - rest) / num_images),
            math.sqrt(each * max(0.0, images - rest) / num_seeds),
            math.sqrt(each * rest),
        ),
        by_seed=difference.mean(axis=1).tolist(),
    )


def group_sums(difference: Values, groups: NDArray[np.int64]) -> Values:
    """Return what each group contributes to the mean of (S, N) differences: (S, G), with the same mean in each row.

    The deviations from the overall mean are summed over the images of a group, as in standard errors for clustered
    data. If each group is one image, the differences are returned.
    """
    members = np.unique(groups, return_inverse=True)[1]
    num_groups = int(members.max()) + 1
    if num_groups == len(groups):
        return difference
    center = difference.mean()
    sums = np.stack([np.bincount(members, weights=row - center) for row in difference])
    return np.asarray(center + sums * (num_groups / len(groups)))


def mean_squares(difference: Values) -> tuple[float, float, float]:
    """Return the mean squares of seeds, of images, and of the rest, of (S, N) differences.

    With one seed, or one image, that dimension counts as fixed: its mean square and that of the rest are 0.
    """
    num_seeds, num_images = difference.shape
    center = difference.mean()
    by_seed = difference.mean(axis=1) - center
    by_image = difference.mean(axis=0) - center
    rest = difference - by_seed[:, None] - by_image - center
    seeds, images = num_images * float(by_seed @ by_seed), num_seeds * float(by_image @ by_image)
    freedom = (num_seeds - 1) * (num_images - 1)
    return (
        seeds / (num_seeds - 1) if num_seeds > 1 else 0.0,
        images / (num_images - 1) if num_images > 1 else 0.0,
        float(np.square(rest).sum()) / freedom if freedom else 0.0,
    )


def verdict(comparison: Comparison, margin: float) -> Verdict:
    """Return what the interval says about arm a. margin: smallest difference that matters, a fraction.

    ``equivalent``: the whole interval is within +- margin. ``better``, ``worse``: it excludes 0. A difference can be
    significant and still too small to matter; then it is ``equivalent``.
    """
    if max(-comparison.low, comparison.high) < margin:
        return "equivalent"
    if comparison.low > 0:
        return "better"
    return "worse" if comparison.high < 0 else "undecided"


def goal(comparison: Comparison, margin: float) -> float:
    """Return the half width that an interval around this difference may have to give a verdict.

    It excludes 0 if it is narrower than the difference, and is within the margin if it is narrower than the gap to it.
    """
    size = abs(comparison.difference)
    return max(size, margin - size)


def needed_seeds(spread: Spread, num_images: int, size: float, level: Level) -> int | None:
    """Return how many seeds give a verdict on a difference of this size with a probability of about 80 %.

    None if 200 seeds do not, because there are too few test images.
    """
    for num_seeds in range(MIN_SEEDS, MAX_SEEDS + 1):
        if detectable(spread, num_seeds, num_images, level) <= size:
            return num_seeds
    return None


def needed_images(spread: Spread, num_seeds: int, size: float, level: Level) -> int | None:
    """Return how many test images give a verdict with these seeds; None if no number does. See ``needed_seeds``."""
    if detectable(spread, num_seeds, math.inf, level) > size:
        return None
    low, high = 1, 1
    while detectable(spread, num_seeds, high, level) > size:
        low, high = high, 2 * high
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        enough = detectable(spread, num_seeds, middle, level) <= size
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable(spread: Spread, num_seeds: int, num_images: float, level: Level) -> float:
    """Return the smallest difference on which there is a verdict with the probability POWER, a fraction."""
    reach = level.reach(num_seeds - 1) + float(stats.t.isf(1 - POWER, num_seeds - 1))
    return reach * max(math.sqrt(2) / (num_images + 2), spread.error(num_seeds, num_images))
