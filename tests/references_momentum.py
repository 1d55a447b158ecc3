"""Slow, independent versions of the formulas of the methods that follow themselves, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.references import cosine

Rows = Sequence[Sequence[float]]


def squared_distance(p: Rows, z: Rows) -> float:
    """Eq. 2 of BYOL (arXiv:2006.07733): the mean squared distance of the vectors scaled to length 1."""

    def unit(vector: Sequence[float]) -> list[float]:
        length = math.sqrt(sum(x * x for x in vector))
        return [x / length for x in vector]

    distances = [sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True)) for a, b in zip(p, z, strict=True)]
    return sum(distances) / len(distances)


def info_nce(queries: Rows, keys: Rows, queue: Rows, temperature: float) -> float:
    """Eq. 1 of MoCo (arXiv:1911.05722), a mean over queries."""
    losses = []
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(cosine(query, key) / temperature)
        negatives = sum(math.exp(cosine(query, other) / temperature) for other in queue)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


def info_nce_without_false_negatives(
    queries: Rows, keys: Rows, queue: Rows, labels: Sequence[int], queue_labels: Sequence[int], temperature: float
) -> float:
    """The same, each query against the keys that are not known to be of its class; label -1 is unknown."""
    losses = []
    for query, key, label in zip(queries, keys, labels, strict=True):
        left = [other for other, its in zip(queue, queue_labels, strict=True) if label == -1 or its != label]
        losses.append(info_nce([query], [key], left, temperature))
    return sum(losses) / len(losses)


def tribyol(p: Sequence[Rows], first: Sequence[Rows], second: Sequence[Rows]) -> float:
    """The symmetrized triple-view loss: p, first and second hold three views' predictions and target projections."""
    pair_a = squared_distance(p[0], first[1]) + squared_distance(p[1], first[0])
    pair_b = squared_distance(p[0], second[2]) + squared_distance(p[2], second[0])
    return (pair_a + pair_b) / 2
