"""Exact tests against scipy, enumeration and simulated experiments in which no arm is better."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from scipy import stats

from fkt.report.significance import exact_image_test, exact_seed_test, holm, smallest_p
from tests.report.simulated import arms, hits


def test_holm_gives_the_worked_example_in_the_order_given() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one_and_leaves_a_single_test_alone() -> None:
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (0, 7), (3, 9), (5, 5), (60, 31), (430, 570), (2600, 2400)])
def test_one_seed_gives_mcnemars_exact_test(wins: int, losses: int) -> None:
    a, b = hits([[1] * wins + [-1] * losses + [0] * 50])
    assert exact_image_test(a, b) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_image_test_agrees_with_every_pattern_of_signs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.random((3, 9)) < 0.7, generator.random((3, 9)) < 0.5
    sums = (a.astype(int) - b).sum(axis=0)
    patterns = [abs(np.dot(signs, sums)) for signs in itertools.product([-1, 1], repeat=9)]
    assert exact_image_test(a, b) == pytest.approx(np.mean([p >= abs(sums.sum()) for p in patterns]), rel=1e-12)


def test_image_test_agrees_with_random_signs_where_there_are_too_many_patterns() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random((5, 300)) < 0.82, generator.random((5, 300)) < 0.8
    sums = (a.astype(int) - b).sum(axis=0)
    signs = generator.choice([-1, 1], size=(40_000, 300))
    expected = np.mean(np.abs(signs @ sums) >= abs(sums.sum()))
    assert exact_image_test(a, b) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 40_000))


def test_image_test_of_many_images_and_seeds_agrees_with_the_normal_limit() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.random((10, 10_000)) < 0.903, generator.random((10, 10_000)) < 0.9
    sums = (a.astype(int) - b).sum(axis=0)
    expected = 2 * stats.norm.sf((abs(sums.sum()) - 0.5) / math.sqrt(np.square(sums).sum()))
    assert 1e-4 < expected < 0.5
    assert exact_image_test(a, b) == pytest.approx(expected, rel=0.01)


def test_image_test_of_the_extreme_case_is_tiny_and_not_zero() -> None:
    right = np.ones((10, 10_000), dtype=bool)
    assert exact_image_test(right, ~right) == sys.float_info.min
    assert exact_image_test(right[:, :20], ~right[:, :20]) == pytest.approx(2 / 2**20)


def test_image_test_is_one_for_equal_arms_and_for_equal_sums() -> None:
    a, b = hits([[1, -1, 0], [1, -1, 1]])
    assert exact_image_test(a, a) == 1.0
    assert exact_image_test(*hits([[1, -1], [1, -1]])) == 1.0
    assert exact_image_test(a, b) == exact_image_test(b, a)


def test_image_test_rejects_at_its_level_under_the_null() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(1500):
        a, b = arms(2, 80, generator, seed_std=0.0)
        flip = generator.random(80) < 0.5  # exchange the arms image by image: the null holds exactly
        p_values.append(exact_image_test(np.where(flip, a, b), np.where(flip, b, a)))
    for level in (0.05, 0.2, 0.5):  # an exact test of a discrete sum stays at or just below its level
        share = np.mean(np.array(p_values) <= level)
        assert level - 0.09 < share < level + 3.5 * math.sqrt(level * (1 - level) / 1500)


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 7, 10])
def test_seed_test_agrees_with_every_pattern_of_signs(num_seeds: int) -> None:
    values = np.random.default_rng(num_seeds).integers(-8, 12, num_seeds) / 360  # with ties
    patterns = [abs(np.dot(signs, values)) for signs in itertools.product([-1, 1], repeat=num_seeds)]
    expected = np.mean([p >= abs(values.sum()) - 1e-12 for p in patterns])
    assert exact_seed_test(values.tolist()) == expected


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 5, 20, 33])
def test_seeds_that_all_agree_give_the_smallest_p(num_seeds: int) -> None:
    assert exact_seed_test([0.01 * (n + 1) for n in range(num_seeds)]) == smallest_p(num_seeds)
    assert smallest_p(num_seeds) == min(1.0, 2 / 2**num_seeds)


def test_seed_test_counts_equal_sums_as_equal_whatever_their_rounding() -> None:
    assert exact_seed_test([0.1, 0.2, -0.3]) == 1.0
    assert exact_seed_test([0.1, 0.2, 0.3, -0.3]) == pytest.approx(12 / 16)  # |sum| >= 0.3 in 12 of 16


def test_seed_test_of_no_difference_is_one() -> None:
    assert exact_seed_test([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("num_seeds", [0, 41])
def test_seed_test_says_how_many_seeds_it_takes(num_seeds: int) -> None:
    with pytest.raises(ValueError, match=f"{num_seeds} differences; the exact test by seeds takes 1 to 40"):
        exact_seed_test([0.1] * num_seeds)


def test_seed_test_rejects_at_its_level_under_the_null() -> None:
    generator = np.random.default_rng(0)
    p_values = np.array([exact_seed_test(generator.normal(size=8).tolist()) for _ in range(2000)])
    for level in (8 / 256, 64 / 256, 128 / 256):  # attainable levels of 8 seeds: exact, but for the simulation
        assert np.mean(p_values <= level) == pytest.approx(level, abs=3.5 * math.sqrt(level * (1 - level) / 2000))
