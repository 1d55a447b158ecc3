"""Intervals and comparisons against slow resampling and mean squares in loops, and their error rates in simulations."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fkt.report.statistics import (
    Comparison,
    compare,
    exact_image_test,
    exact_seed_test,
    mean_test,
    paired_bootstrap,
    significant,
    variance,
)
from tests.report.simulated import pair, several_arms, two_arms


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
    a, b = two_arms(4, 50, seed, seed_std=0.3)
    assert variance(a.astype(np.int64) - b) == pytest.approx(_slow_variance(a.astype(int) - b))


def test_the_interval_agrees_with_slow_resampling() -> None:
    generator = np.random.default_rng(0)
    a, b = two_arms(4, 60, seed_std=0.3, gain=0.3)
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


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_of_one_seed_is_that_of_students_t(confidence: float) -> None:
    a, b = two_arms(1, 2000, gain=0.1)
    difference = a[0].astype(int) - b[0]
    expected = stats.t.interval(confidence, 1999, difference.mean(), difference.std(ddof=1) / math.sqrt(2000))
    found = paired_bootstrap(a, b, samples=20_000, confidence=confidence, seed=0)
    assert found == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


@pytest.mark.parametrize(("num_seeds", "seed_std"), [(1, 0.0), (3, 0.6), (8, 0.15)])
def test_the_interval_contains_the_true_difference_about_as_often_as_it_should(num_seeds: int, seed_std: float) -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        a, b = several_arms([0.0, 0.0], num_seeds, 200, generator, seed_std)  # equal arms: the true difference is 0
        low, high = paired_bootstrap(a, b, samples=400, confidence=0.9, seed=0)
        covered.append(low <= 0 <= high)
    assert 0.85 < np.mean(covered) < 0.985  # plain percentiles give 0.70 with three seeds that differ much


def test_the_interval_is_deterministic_and_ignores_the_order_of_images() -> None:
    a, b = two_arms(3, 100)
    found = paired_bootstrap(a, b, samples=500, confidence=0.95, seed=3)
    order = np.random.default_rng(1).permutation(100)
    assert paired_bootstrap(a, b, samples=500, confidence=0.95, seed=3) == found
    assert paired_bootstrap(a[:, order], b[:, order], samples=500, confidence=0.95, seed=3) == pytest.approx(found)
    assert paired_bootstrap(a, b, samples=500, confidence=0.95, seed=4) != found


def test_the_interval_of_equal_arms_is_a_point_and_no_interval_leaves_its_range() -> None:
    a, _ = two_arms(3, 50)
    assert paired_bootstrap(a, a, samples=100, confidence=0.95, seed=0) == (0.0, 0.0)
    low, high = paired_bootstrap(*pair([[1] * 20, [-1] * 20]), samples=100, confidence=0.99, seed=0)
    assert (low, high) == (-1.0, 1.0)


@pytest.mark.parametrize("num_seeds", [1, 4])
def test_the_test_of_the_mean_is_students_t(num_seeds: int) -> None:
    a, b = two_arms(num_seeds, 80, gain=0.3)
    difference = a.astype(int) - b
    if num_seeds == 1:
        expected = stats.ttest_1samp(difference[0], 0).pvalue
    else:
        total, freedom = _slow_variance(difference)
        expected = 2 * stats.t.sf(abs(difference.mean()) / math.sqrt(total), freedom)
    assert mean_test(a, b) == mean_test(b, a) == pytest.approx(expected)
    assert mean_test(a, a) == 1.0
    assert mean_test(*pair([[1, 1], [1, 1]])) == 0.0


@pytest.mark.parametrize("function", [exact_image_test, mean_test, lambda a, b: paired_bootstrap(a, b, 100, 0.95, 0)])
def test_arrays_that_do_not_form_pairs_are_refused(function) -> None:
    right = np.ones((2, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"\(2, 5\) and \(2, 4\)"):
        function(right, right[:, :4])
    with pytest.raises(ValueError, match="at least one each"):
        function(right[:0], right[:0])
    with pytest.raises(ValueError, match="not bool"):
        function(right, right.astype(int))


@pytest.mark.parametrize("num_seeds", [1, 3, 41])
def test_a_comparison_has_the_results_of_all_tests(num_seeds: int) -> None:
    a, b = two_arms(num_seeds, 120, gain=0.3)
    found = compare("functional", "supervised", a, b, samples=300, confidence=0.9, seed=5)
    by_seed = [float(x.mean() - y.mean()) for x, y in zip(a, b, strict=True)]
    assert (found.name_a, found.name_b) == ("functional", "supervised")
    assert found.difference == pytest.approx(np.mean(by_seed))
    assert (found.low, found.high) == paired_bootstrap(a, b, 300, 0.9, 5)
    assert (found.p_both, found.p_images) == (mean_test(a, b), exact_image_test(a, b))
    if num_seeds <= 40:
        assert found.p_seeds == exact_seed_test(by_seed)
    else:
        assert math.isnan(found.p_seeds), "too many patterns to count"


def test_a_difference_is_significant_if_the_interval_and_both_adjusted_tests_agree() -> None:
    def comparison(low: float, high: float, p_both: float, p_images: float) -> Comparison:
        return Comparison("functional", "supervised", (low + high) / 2, low, high, p_both, p_images, p_seeds=0.25)

    clear, below = comparison(0.01, 0.05, 0.004, 0.001), comparison(-0.05, -0.01, 0.004, 0.001)
    wide = comparison(-0.01, 0.05, 0.004, 0.001)
    assert significant([clear, wide, below], 0.95) == [True, False, True]
    for weak in (comparison(0.01, 0.05, 0.004, 0.03), comparison(0.01, 0.05, 0.03, 0.001)):
        assert significant([weak], 0.95) == [True]
        assert significant([weak, weak], 0.95) == [False, False], "0.03 twice is 0.06 after Holm"


@pytest.mark.parametrize(("num_seeds", "seed_std", "at_most"), [(1, 0.0, 0.1), (3, 0.6, 0.25), (8, 0.6, 0.1)])
def test_few_comparisons_of_five_equal_arms_find_a_significant_difference(
    num_seeds: int, seed_std: float, at_most: float
) -> None:
    """At 95 %, in 5 % of the cases; with three seeds in more. Intervals without adjustment: in 38 and 40 %."""
    generator, wrong = np.random.default_rng(0), []
    for _ in range(200):
        equal = several_arms([0.0] * 5, num_seeds, 120, generator, seed_std)
        pairs = itertools.combinations(equal, 2)
        found = [compare("a", "b", a, b, samples=100, confidence=0.95, seed=0) for a, b in pairs]
        wrong.append(any(significant(found, 0.95)))
    assert np.mean(wrong) < at_most


def test_a_true_difference_among_several_arms_is_found() -> None:
    generator, found = np.random.default_rng(0), []
    for _ in range(50):
        better, *equal = several_arms([1.0, 0.0, 0.0, 0.0], 5, 300, generator, seed_std=0.15)
        pairs = [compare("a", "b", better, b, samples=100, confidence=0.95, seed=0) for b in equal]
        found.append(np.mean(significant(pairs, 0.95)))
    assert np.mean(found) > 0.9
