"""Slow, independent versions of the losses without negatives and with labels, loop by loop."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.references import cosine

Matrix = Sequence[Sequence[float]]


def sinkhorn(scores: Matrix, epsilon: float, iterations: int) -> list[list[float]]:
    """Algorithm of SwAV's appendix (arXiv:2006.09882, A.1), with the transport plan scaled to rows that sum to 1."""
    count, prototypes = len(scores), len(scores[0])
    plan = [[math.exp(score / epsilon) for score in row] for row in scores]
    total = sum(map(sum, plan))
    plan = [[value / total for value in row] for row in plan]
    for _ in range(iterations):
        for k in range(prototypes):
            mass = sum(row[k] for row in plan)
            for row in plan:
                row[k] /= mass * prototypes
        for row in plan:
            mass = sum(row)
            row[:] = [value / (mass * count) for value in row]
    return [[value * count for value in row] for row in plan]


def swav(scores_a: Matrix, scores_b: Matrix, codes_a: Matrix, codes_b: Matrix, temperature: float) -> float:
    """Mean over images and directions of the cross-entropy of a code and the other view's prediction."""
    total = 0.0
    for scores, codes in ((scores_a, codes_b), (scores_b, codes_a)):
        for row, code in zip(scores, codes, strict=True):
            normalizer = sum(math.exp(score / temperature) for score in row)
            total -= sum(q * math.log(math.exp(s / temperature) / normalizer) for s, q in zip(row, code, strict=True))
    return total / (2 * len(scores_a))


def barlow_twins(z_a: Matrix, z_b: Matrix, redundancy_weight: float, eps: float) -> float:
    """Algorithm 1 of Barlow Twins (arXiv:2103.03230) with the eps of batch normalization."""
    count, size = len(z_a), len(z_a[0])

    def standardized(z: Matrix, d: int) -> list[float]:
        column = [row[d] for row in z]
        mean = sum(column) / count
        variance = sum((x - mean) ** 2 for x in column) / count
        return [(x - mean) / math.sqrt(variance + eps) for x in column]

    total = 0.0
    for i in range(size):
        for j in range(size):
            c = sum(x * y for x, y in zip(standardized(z_a, i), standardized(z_b, j), strict=True)) / count
            total += (1 - c) ** 2 if i == j else redundancy_weight * c**2
    return total


def contrastive(z_a: Matrix, z_b: Matrix, labels: Sequence[int], temperature: float, *, attract: bool) -> float:
    """SupCon's Eq. 2 (attract), or NT-Xent without false negatives; views interleaved, label -1 unknown."""
    vectors = [vector for pair in zip(z_a, z_b, strict=True) for vector in pair]
    count = len(vectors)

    def same(i: int, k: int) -> bool:
        return i // 2 != k // 2 and labels[i // 2] == labels[k // 2] != -1

    total = 0.0
    for i in range(count):
        own = i ^ 1
        positives = [own] + [k for k in range(count) if attract and same(i, k)]
        others = [k for k in range(count) if k != i and (attract or not same(i, k))]
        denominator = sum(math.exp(cosine(vectors[i], vectors[k]) / temperature) for k in others)
        for p in positives:
            share = math.exp(cosine(vectors[i], vectors[p]) / temperature) / denominator
            total -= math.log(share) / len(positives)
    return total / count
