"""Slow, independent versions of what the rotation and puzzle methods compute, loop by loop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from tests.references import cosine

Grid = list[list[float]]


def quarter_turn(grid: Grid, turns: int) -> Grid:
    """Turn a square counterclockwise: what was the last column becomes the first row."""
    size = len(grid)
    for _ in range(turns % 4):
        grid = [[grid[column][size - 1 - row] for column in range(size)] for row in range(size)]
    return grid


def cross_entropy(logits: Sequence[float], target: int) -> float:
    """Of one row."""
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[target]


def shares(embedding: Sequence[float], rows: Sequence[Sequence[float]], temperature: float) -> list[float]:
    """PIRL's h of an embedding with each of the rows, the first of which is the positive."""
    scores = [math.exp(cosine(embedding, row) / temperature) for row in rows]
    return [score / sum(scores) for score in scores]


def info_nce(embedding: Sequence[float], rows: Sequence[Sequence[float]], temperature: float) -> float:
    """For one image; the first row is the positive."""
    return -math.log(shares(embedding, rows, temperature)[0])


def nce(embedding: Sequence[float], rows: Sequence[Sequence[float]], temperature: float) -> float:
    """PIRL's loss (arXiv:1912.01991) for one image; the first row is the positive."""
    positive, *negatives = shares(embedding, rows, temperature)
    return -math.log(positive) - sum(math.log(1 - negative) for negative in negatives)


def bank_row(old: Sequence[float], embedding: Sequence[float], momentum: float) -> list[float]:
    """A row of the memory bank after one update."""
    length = math.sqrt(sum(x * x for x in embedding))
    mixed = [momentum * m + (1 - momentum) * x / length for m, x in zip(old, embedding, strict=True)]
    norm = math.sqrt(sum(x * x for x in mixed))
    return [x / norm for x in mixed]


def hamming(a: Sequence[int], b: Sequence[int]) -> int:
    """At how many places two permutations differ."""
    return sum(x != y for x, y in zip(a, b, strict=True))


def best_next(chosen: Sequence[Sequence[int]], items: int) -> tuple[int, int]:
    """Smallest and summed distance to the chosen permutations of the best one that is left."""
    taken = {tuple(one) for one in chosen}
    left = [one for one in itertools.permutations(range(items)) if one not in taken]
    return max((min(d), sum(d)) for d in ([hamming(one, other) for other in chosen] for one in left))


def standardized(values: Sequence[float]) -> list[float]:
    """A tile's numbers at mean 0 and deviation 1; zeros where they are all the same."""
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if deviation > 0 else 0.0 for value in values]


def object_share(mask: Grid, box: Sequence[float], finer: int = 8) -> float:
    """Share of a mask in a box whose sides are multiples of 1 / finer, by counting squares of that size."""
    left, top, right, bottom = box
    inside = total = 0.0
    for i, j in itertools.product(range(len(mask) * finer), range(len(mask[0]) * finer)):
        y, x, weight = (i + 0.5) / finer, (j + 0.5) / finer, mask[i // finer][j // finer]
        total += weight
        inside += weight * (top < y < bottom and left < x < right)
    return inside / total if total else 0.0
