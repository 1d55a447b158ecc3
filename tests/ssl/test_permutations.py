"""The greedy choice of permutations against an exhaustive one."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
import torch
from torch import Tensor

from fkt.ssl.pretext.permutations import all_permutations, distant_permutations
from tests import references_pretext as references


def distances(permutations: Tensor) -> list[int]:
    return [references.hamming(one, other) for one, other in itertools.combinations(permutations.tolist(), 2)]


@pytest.mark.parametrize("items", [1, 2, 3, 5])
def test_all_permutations_are_there_once(items: int) -> None:
    table = all_permutations(items)
    assert len({tuple(row) for row in table.tolist()}) == len(table) == math.factorial(items)
    assert torch.equal(table.sort(dim=1).values, torch.arange(items, dtype=torch.uint8).expand_as(table))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("items", "count"), [(3, 6), (4, 24), (5, 30)])
def test_each_choice_is_the_best_that_is_left(items: int, count: int, seed: int) -> None:
    chosen = distant_permutations(count, items, seed).tolist()
    assert len({tuple(one) for one in chosen}) == count
    for number in range(1, count):
        apart = [references.hamming(chosen[number], other) for other in chosen[:number]]
        assert (min(apart), sum(apart)) == references.best_next(chosen[:number], items)


def test_the_set_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first = distant_permutations(10, 5, 3)
    assert torch.equal(first, distant_permutations(10, 5, 3))
    assert not torch.equal(first, distant_permutations(10, 5, 4))
    assert torch.equal(first[:4], distant_permutations(4, 5, 3)), "a smaller set is the beginning of a larger one"


def test_permutations_of_nine_tiles_lie_far_apart() -> None:
    chosen = distant_permutations(40, 9, 0)
    apart = distances(chosen)
    assert chosen.dtype == torch.int64 and min(apart) >= 7 and statistics.mean(apart) > 7.9
    inverse = chosen.argsort(dim=1)
    assert torch.equal(chosen.gather(1, inverse), torch.arange(9).expand(40, 9))


@pytest.mark.slow
def test_701_permutations_are_at_least_as_far_apart_as_the_authors() -> None:
    apart = distances(distant_permutations(701, 9, 0))
    assert min(apart) >= 3 and statistics.mean(apart) > 7.9


@pytest.mark.parametrize("count", [0, 7])
def test_more_permutations_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="there are 6 permutations of 3"):
        distant_permutations(count, 3, 0)
