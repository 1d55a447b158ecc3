"""Intervals against slow resampling, mean squares in loops, and how often they cover a known difference."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fkt.report.intervals import mean_test, paired_bootstrap, variance
from fkt.report.significance import exact_image_test
from tests.report.simulated import arms, hits


def _slow_variance(difference: NDArray) -> tuple[float, float]:
    """Mean squares of the two-way layout, and Satterthwaite's degrees of freedom, in loops."""
    num_seeds, num_images = difference.shape
    center = difference.mean()
    seeds = sum((row.mean() - center) ** 2 for row in difference) * num_images / (num_seeds - 1)
    images = sum((column.mean() - center) ** 2 for column in difference.T) * num_seeds / (num_images - 1)
    rest = 0.0
    for s, n in itertools.product(range(num_seeds), range(num_images)):
        rest += (difference[s, n] - difference[s].mean() - difference[:, n].mean() + center) ** 2
    freedom = (num_seeds - 1) * (num_images - 1)
    rest /= freedom
    total = max(seeds, images, seeds + images - rest)
    doubt = seeds**2 / (num_seeds - 1) + images**2 / (num_images - 1) + rest**2 / freedom
    return total / (num_seeds * num_images), max(1.0, total**2 / doubt)


@pytest.mark.parametrize("seed", range(3))
def test_variance_agrees_with_mean_squares_in_loops(seed: int) -> None:
    a, b = arms(4, 50, np.random.default_rng(seed), seed_std=0.3)
    found = variance(a.astype(np.int64) - b)
    assert (found.total, found.freedom) == pytest.approx(_slow_variance(a.astype(int) - b))


def test_variance_of_one_seed_is_that_of_a_mean_over_images() -> None:
    a, b = arms(1, 200, np.random.default_rng(0), seed_std=0.0)
    difference = a[0].astype(np.int64) - b[0]
    found = variance(difference[None])
    assert found.total == pytest.approx(difference.var(ddof=1) / 200)
    assert found.freedom == pytest.approx(199)


def test_interval_agrees_with_slow_resampling() -> None:
    generator = np.random.default_rng(0)
    a, b = arms(4, 60, generator, seed_std=0.3, gain=0.3)
    difference = a.astype(int) - b
    means = []
    for _ in range(20_000):
        seeds, images = generator.integers(0, 4, 4), generator.integers(0, 60, 60)
        means.append(difference[seeds][:, images].mean())
    total, freedom = _slow_variance(difference)
    stretch = stats.t.ppf(0.95, freedom) / stats.norm.ppf(0.95) * math.sqrt(total) / np.std(means)
    expected = difference.mean() + stretch * (np.quantile(means, [0.05, 0.95]) - difference.mean())
    found = paired_bootstrap(a, b, samples=20_000, confidence=0.9, seed=0)
    assert found == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


def test_interval_of_one_seed_is_that_of_students_t() -> None:
    a, b = arms(1, 2000, np.random.default_rng(0), seed_std=0.0, gain=0.1)
    difference = a[0].astype(int) - b[0]
    expected = stats.t.interval(0.95, 1999, difference.mean(), difference.std(ddof=1) / math.sqrt(2000))
    found = paired_bootstrap(a, b, samples=20_000, confidence=0.95, seed=0)
    assert found == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


@pytest.mark.parametrize("num_seeds", [1, 4])
def test_test_of_the_mean_is_students_t(num_seeds: int) -> None:
    a, b = arms(num_seeds, 80, np.random.default_rng(0), seed_std=0.2, gain=0.3)
    difference = a.astype(int) - b
    if num_seeds == 1:
        expected = stats.ttest_1samp(difference[0], 0).pvalue
    else:
        total, freedom = _slow_variance(difference)
        expected = 2 * stats.t.sf(abs(difference.mean()) / math.sqrt(total), freedom)
    assert mean_test(a, b) == mean_test(b, a) == pytest.approx(expected)
    assert mean_test(a, a) == 1.0
    assert mean_test(*hits([[1, 1], [1, 1]])) == 0.0


@pytest.mark.parametrize(("num_seeds", "seed_std"), [(1, 0.0), (3, 0.0), (3, 0.15), (3, 0.6), (8, 0.15)])
def test_interval_covers_the_true_difference_about_as_often_as_it_says(num_seeds: int, seed_std: float) -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        a, b = arms(num_seeds, 200, generator, seed_std)  # equal arms: the true difference is 0
        low, high = paired_bootstrap(a, b, samples=400, confidence=0.9, seed=0)
        covered.append(low <= 0 <= high)
    assert 0.85 < np.mean(covered) < 0.985  # percentiles alone cover 0.70 with three seeds that differ much


def test_interval_is_deterministic_and_ignores_the_order_of_images() -> None:
    a, b = arms(3, 100, np.random.default_rng(0), seed_std=0.2)
    found = paired_bootstrap(a, b, samples=500, confidence=0.95, seed=3)
    order = np.random.default_rng(1).permutation(100)
    assert paired_bootstrap(a, b, samples=500, confidence=0.95, seed=3) == found
    assert paired_bootstrap(a[:, order], b[:, order], samples=500, confidence=0.95, seed=3) == pytest.approx(found)
    assert paired_bootstrap(a, b, samples=500, confidence=0.95, seed=4) != found


def test_interval_turns_round_when_the_arms_are_exchanged() -> None:
    a, b = arms(4, 300, np.random.default_rng(0), seed_std=0.2, gain=0.2)
    low, high = paired_bootstrap(a, b, samples=20_000, confidence=0.95, seed=0)
    width = high - low
    assert paired_bootstrap(b, a, samples=20_000, confidence=0.95, seed=0) == pytest.approx(
        (-high, -low), abs=0.04 * width
    )


def test_interval_is_wider_at_more_confidence_and_narrower_with_more_images() -> None:
    a, b = arms(1, 4000, np.random.default_rng(0), seed_std=0.0)

    def width(images: int, confidence: float) -> float:
        low, high = paired_bootstrap(a[:, :images], b[:, :images], 2000, confidence, 0)
        return high - low

    assert width(1000, 0.8) < width(1000, 0.95) < width(1000, 0.99)
    assert width(4000, 0.95) == pytest.approx(width(1000, 0.95) / 2, rel=0.15)


def test_interval_of_equal_arms_is_a_point_and_no_interval_leaves_the_range() -> None:
    a, b = arms(3, 50, np.random.default_rng(0), seed_std=0.2)
    assert paired_bootstrap(a, a, samples=100, confidence=0.95, seed=0) == (0.0, 0.0)
    low, high = paired_bootstrap(*hits([[1] * 20, [-1] * 20]), samples=100, confidence=0.99, seed=0)
    assert (low, high) == (-1.0, 1.0)


@pytest.mark.parametrize("function", [exact_image_test, lambda a, b: paired_bootstrap(a, b, 100, 0.95, 0)])
def test_arrays_that_are_no_pair_are_refused(function) -> None:
    right = np.ones((2, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"\(2, 5\) and \(2, 4\)"):
        function(right, right[:, :4])
    with pytest.raises(ValueError, match="at least one each"):
        function(right[:0], right[:0])
    with pytest.raises(ValueError, match="not bool"):
        function(right, right.astype(int))
