"""Exact paired tests of two arms, and the correction for several of them. Knows counts and p-values, no files.

Both tests flip signs (Fisher's randomization test): if the arms are exchangeable, a paired difference could as well
have had the other sign, so every pattern of signs was equally likely, and p is the share of the patterns whose sum is
at least as far from 0 as the one that was found. They differ in what is a pair, and so in what they speak of.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SEEDS = 40
"""Two halves of 2^20 sums each are counted against each other."""


def exact_image_test(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value of "no arm is better on any test image", the trained models being as they are.

    correct_a, correct_b: (S, N) bool, whether the model of seed s is right about image n. The unit is the image: its
    difference, summed over seeds, is a whole number in -S..S and keeps or changes its sign with probability 1/2.
    With one seed this is McNemar's exact test. It assumes that images are independent of one another, and generalizes
    to other images from the same source, judged by these same models: it says nothing of models trained anew.
    The distribution of the sum is computed exactly, as a convolution of one binomial for each size of difference;
    a p below the smallest normal float64 (2e-308) is given as that. Raises ValueError where the shapes differ.
    """
    difference = paired_difference(correct_a, correct_b).sum(axis=0)
    sizes = np.bincount(np.abs(difference))
    ways = np.ones(1)  # ways[x]: probability that the positive differences add up to x
    for size, count in enumerate(sizes.tolist()):
        if size > 0 and count > 0:
            ways = _add_binomial(ways, size, _binomial(count))
    observed = abs(int(difference.sum()))
    if observed == 0:
        return 1.0
    largest = len(ways) - 1  # the sum of signed differences is 2 x - largest
    tail = float(ways[(largest + observed) // 2 :].sum())
    return min(1.0, max(2 * tail, sys.float_info.min))


def exact_seed_test(differences: Sequence[float]) -> float:
    """Two-sided exact p-value of "no arm is better", a seed being the unit; p is never below ``smallest_p(S)``.

    differences: (S,) mean accuracy difference of each seed, the arms paired by seed. It assumes that seeds are
    independent of one another, and generalizes to models trained with other seeds, on these same test images.
    Sums are compared with a tolerance of 1e-12 of their size, so that equal ones count as equal.
    Raises ValueError for no seed, or for more than 40.
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
    # a pattern is a left and a right half; count the pairs that add up to at least what was observed
    extreme = int((len(left) - np.searchsorted(left, observed - tolerance - right)).sum())
    return min(1.0, math.ldexp(extreme, 1 - len(values)))


def smallest_p(num_seeds: int) -> float:
    """Return the smallest p that ``exact_seed_test`` can give: 2 of the 2^S patterns of signs are the most extreme."""
    return min(1.0, math.ldexp(1.0, 1 - num_seeds))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for being several (Holm 1979), in the order given.

    Rejecting where the adjusted p is at most alpha rejects any true hypothesis with probability at most alpha,
    however the tests depend on one another.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def paired_difference(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a - b for every seed and image: (S, N) in -1, 0, 1. Raises ValueError where the arrays are no pair."""
    if correct_a.shape != correct_b.shape or correct_a.ndim != 2 or correct_a.size == 0:
        raise ValueError(f"{correct_a.shape} and {correct_b.shape} are not the same (seeds, images), at least one each")
    if correct_a.dtype != np.bool_ or correct_b.dtype != np.bool_:
        raise ValueError(f"{correct_a.dtype} and {correct_b.dtype} are not bool: true where a prediction is right")
    return correct_a.astype(np.int64) - correct_b


def _binomial(count: int) -> NDArray[np.float64]:
    """Probabilities of 0..count heads in ``count`` fair throws, from the logarithms of their ratios."""
    heads = np.arange(1, count + 1)
    logarithms = np.concatenate([[0.0], np.cumsum(np.log((count - heads + 1) / heads))])
    return np.exp(logarithms - count * math.log(2))


def _add_binomial(ways: NDArray[np.float64], size: int, binomial: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve with a binomial that moves in steps of ``size``; sums of positive terms, so nothing cancels."""
    result = np.zeros(len(ways) + size * (len(binomial) - 1))
    for start in range(min(size, len(ways))):  # positions of one remainder form a row of their own
        row = np.convolve(ways[start::size], binomial)
        result[start::size][: len(row)] = row
    return result


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the values under every pattern of signs: (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
