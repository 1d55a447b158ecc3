"""Slow, independent versions of the image operations and the memory bank, loop by loop."""

import itertools
import math
from collections.abc import Sequence

Grid = list[list[float]]


def quarter_turn(grid: Grid, turns: int) -> Grid:
    """Rotate a square counterclockwise: the last column becomes the first row."""
    size = len(grid)
    for _ in range(turns % 4):
        grid = [[grid[column][size - 1 - row] for column in range(size)] for row in range(size)]
    return grid


def cross_entropy(logits: Sequence[float], target: int) -> float:
    """The cross-entropy of one row of logits."""
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[target]


def bank_row(old: Sequence[float], embedding: Sequence[float], momentum: float) -> list[float]:
    """A row of the memory bank after one update."""
    length = math.sqrt(sum(x * x for x in embedding))
    mixed = [momentum * m + (1 - momentum) * x / length for m, x in zip(old, embedding, strict=True)]
    norm = math.sqrt(sum(x * x for x in mixed))
    return [x / norm for x in mixed]


def hamming(a: Sequence[int], b: Sequence[int]) -> int:
    """The number of places in which two permutations differ."""
    return sum(x != y for x, y in zip(a, b, strict=True))


def best_next(chosen: Sequence[Sequence[int]], items: int) -> tuple[int, int]:
    """The minimum and the sum of the distances to the chosen permutations, for the best remaining permutation."""
    taken = {tuple(one) for one in chosen}
    left = [one for one in itertools.permutations(range(items)) if one not in taken]
    return max((min(d), sum(d)) for d in ([hamming(one, other) for other in chosen] for one in left))


def standardized(values: Sequence[float]) -> list[float]:
    """The values scaled to mean 0 and standard deviation 1; zeros if they are constant."""
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if deviation > 0 else 0.0 for value in values]


def object_share(mask: Grid, box: Sequence[float], finer: int = 8) -> float:
    """The share of a mask inside a box with sides in multiples of 1 / finer, by counting squares of that size."""
    left, top, right, bottom = box
    inside = total = 0.0
    for i, j in itertools.product(range(len(mask) * finer), range(len(mask[0]) * finer)):
        y, x, weight = (i + 0.5) / finer, (j + 0.5) / finer, mask[i // finer][j // finer]
        total += weight
        inside += weight * (top < y < bottom and left < x < right)
    return inside / total if total else 0.0
