"""The exact tests and Holm's method against scipy and against enumeration."""

import itertools
import math
import sys

import numpy as np
import pytest
from scipy import stats

from fkt.report.statistics import exact_image_test, exact_seed_test, holm, smallest_p
from tests.report.simulated import pair


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]), ([0.9, 0.8], [1.0, 1.0]), ([0.04], [0.04]), ([], [])],
)
def test_holm_gives_worked_examples_in_the_given_order(p_values: list[float], expected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (0, 7), (3, 9), (5, 5), (60, 31), (430, 570), (2600, 2400)])
def test_with_one_seed_the_image_test_is_mcnemars_exact_test(wins: int, losses: int) -> None:
    a, b = pair([[1] * wins + [-1] * losses + [0] * 50])
    assert exact_image_test(a, b) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_image_test_agrees_with_all_patterns_of_signs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.random((3, 9)) < 0.7, generator.random((3, 9)) < 0.5
    sums = (a.astype(int) - b).sum(axis=0)
    patterns = [abs(np.dot(signs, sums)) for signs in itertools.product([-1, 1], repeat=9)]
    expected = np.mean([pattern >= abs(sums.sum()) for pattern in patterns])
    assert exact_image_test(a, b) == exact_image_test(b, a) == pytest.approx(expected, rel=1e-12)


def test_the_image_test_of_many_images_and_seeds_agrees_with_the_normal_limit() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.random((10, 10_000)) < 0.903, generator.random((10, 10_000)) < 0.9
    sums = (a.astype(int) - b).sum(axis=0)
    expected = 2 * stats.norm.sf((abs(sums.sum()) - 0.5) / math.sqrt(np.square(sums).sum()))
    assert 1e-4 < expected < 0.5
    assert exact_image_test(a, b) == pytest.approx(expected, rel=0.01)


def test_the_image_test_is_one_for_equal_arms_and_never_zero() -> None:
    right = np.ones((10, 10_000), dtype=bool)
    assert exact_image_test(right, ~right) == sys.float_info.min
    assert exact_image_test(right[:, :20], ~right[:, :20]) == pytest.approx(2 / 2**20)
    assert exact_image_test(right, right) == exact_image_test(*pair([[1, -1], [1, -1]])) == 1.0


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 7, 10])
def test_the_seed_test_agrees_with_all_patterns_of_signs(num_seeds: int) -> None:
    values = np.random.default_rng(num_seeds).integers(-8, 12, num_seeds) / 360  # with ties
    patterns = [abs(np.dot(signs, values)) for signs in itertools.product([-1, 1], repeat=num_seeds)]
    assert exact_seed_test(values.tolist()) == np.mean([p >= abs(values.sum()) - 1e-12 for p in patterns])


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 5, 20, 33])
def test_seeds_that_all_agree_give_the_smallest_p(num_seeds: int) -> None:
    assert exact_seed_test([0.01 * (n + 1) for n in range(num_seeds)]) == smallest_p(num_seeds)
    assert smallest_p(num_seeds) == min(1.0, 2 / 2**num_seeds)


def test_the_seed_test_counts_equal_sums_as_equal_despite_rounding() -> None:
    assert exact_seed_test([0.1, 0.2, -0.3]) == exact_seed_test([0.0, 0.0]) == 1.0
    assert exact_seed_test([0.1, 0.2, 0.3, -0.3]) == pytest.approx(12 / 16)  # |sum| >= 0.3 in 12 of 16


@pytest.mark.parametrize("num_seeds", [0, 41])
def test_the_seed_test_refuses_a_number_of_seeds_that_it_cannot_count(num_seeds: int) -> None:
    with pytest.raises(ValueError, match=f"{num_seeds} differences; the exact test by seeds takes 1 to 40"):
        exact_seed_test([0.1] * num_seeds)
