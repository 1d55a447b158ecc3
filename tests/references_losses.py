"""Slow, independent versions of the self-supervised losses, loop by loop. The label -1 is unknown."""

import math
from collections.abc import Sequence

from tests.references import cosine

Row = Sequence[float]
Rows = Sequence[Sequence[float]]


def contrastive(z_a: Rows, z_b: Rows, labels: Sequence[int], temperature: float, *, attract: bool) -> float:
    """Eq. 2 of SupCon (attract), or NT-Xent without false negatives. Without labels both are NT-Xent."""
    vectors = [vector for pair in zip(z_a, z_b, strict=True) for vector in pair]
    count = len(vectors)

    def same(i: int, k: int) -> bool:
        return i // 2 != k // 2 and labels[i // 2] == labels[k // 2] != -1

    total = 0.0
    for i in range(count):
        positives = [i ^ 1] + [k for k in range(count) if attract and same(i, k)]
        others = [k for k in range(count) if k != i and (attract or not same(i, k))]
        denominator = sum(math.exp(cosine(vectors[i], vectors[k]) / temperature) for k in others)
        for p in positives:
            share = math.exp(cosine(vectors[i], vectors[p]) / temperature) / denominator
            total -= math.log(share) / len(positives)
    return total / count


def shares(embedding: Row, rows: Rows, temperature: float) -> list[float]:
    """The share of each row in the sum of exp(cosine / temperature); the h of PIRL."""
    scores = [math.exp(cosine(embedding, row) / temperature) for row in rows]
    return [score / sum(scores) for score in scores]


def info_nce(queries: Rows, rows: Sequence[Rows], temperature: float) -> float:
    """Eq. 1 of MoCo (arXiv:1911.05722), a mean over queries; the first of a query's rows is its positive."""
    losses = [-math.log(shares(query, own, temperature)[0]) for query, own in zip(queries, rows, strict=True)]
    return sum(losses) / len(losses)


def nce(queries: Rows, rows: Sequence[Rows], temperature: float) -> float:
    """The loss of PIRL (arXiv:1912.01991), a mean over images; the first of an image's rows is its positive."""
    total = 0.0
    for query, own in zip(queries, rows, strict=True):
        positive, *negatives = shares(query, own, temperature)
        total -= math.log(positive) + sum(math.log(1 - negative) for negative in negatives)
    return total / len(queries)


def queue_rows(
    keys: Rows, queue: Rows, labels: Sequence[int] | None = None, queue_labels: Sequence[int] = ()
) -> list[Rows]:
    """The rows of each query for info_nce: its key, and the queue without keys that are known to be of its class."""
    if labels is None:
        return [[key, *queue] for key in keys]
    return [
        [key, *(row for row, other in zip(queue, queue_labels, strict=True) if label == -1 or other != label)]
        for key, label in zip(keys, labels, strict=True)
    ]


def squared_distance(p: Rows, z: Rows) -> float:
    """Eq. 2 of BYOL (arXiv:2006.07733): the mean squared distance of the vectors scaled to length 1."""

    def unit(vector: Row) -> list[float]:
        length = math.sqrt(sum(x * x for x in vector))
        return [x / length for x in vector]

    distances = [sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True)) for a, b in zip(p, z, strict=True)]
    return sum(distances) / len(distances)


def tribyol(p: Sequence[Rows], first: Sequence[Rows], second: Sequence[Rows]) -> float:
    """The symmetrized triple-view loss of the predictions and the projections by both targets of three views."""
    pair_a = squared_distance(p[0], first[1]) + squared_distance(p[1], first[0])
    pair_b = squared_distance(p[0], second[2]) + squared_distance(p[2], second[0])
    return (pair_a + pair_b) / 2


def sinkhorn(scores: Rows, epsilon: float, iterations: int) -> list[list[float]]:
    """The algorithm in SwAV's appendix (arXiv:2006.09882, A.1), with the transport plan scaled to rows of sum 1."""
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


def swav(scores_a: Rows, scores_b: Rows, codes_a: Rows, codes_b: Rows, temperature: float) -> float:
    """The mean over images and directions of the cross-entropy of a code and the other view's prediction."""
    total = 0.0
    for scores, codes in ((scores_a, codes_b), (scores_b, codes_a)):
        for row, code in zip(scores, codes, strict=True):
            normalizer = sum(math.exp(score / temperature) for score in row)
            total -= sum(q * math.log(math.exp(s / temperature) / normalizer) for s, q in zip(row, code, strict=True))
    return total / (2 * len(scores_a))


def barlow_twins(z_a: Rows, z_b: Rows, redundancy_weight: float, eps: float) -> float:
    """Algorithm 1 of Barlow Twins (arXiv:2103.03230) with the eps of batch normalization."""
    count, size = len(z_a), len(z_a[0])

    def standardized(z: Rows, d: int) -> list[float]:
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


def vicreg(z_a: Rows, z_b: Rows) -> tuple[float, float, float]:
    """Invariance, variance and covariance of VICReg (arXiv:2105.04906, Eq. 1-5), scaled as in its official code."""
    count, size = len(z_a), len(z_a[0])
    variance = covariance = 0.0
    squares = [(x - y) ** 2 for a, b in zip(z_a, z_b, strict=True) for x, y in zip(a, b, strict=True)]
    for z in (z_a, z_b):
        means = [sum(row[d] for row in z) / count for d in range(size)]
        for d in range(size):
            for e in range(size):
                cov = sum((row[d] - means[d]) * (row[e] - means[e]) for row in z) / (count - 1)
                if d == e:
                    variance += max(0.0, 1 - (cov + 1e-4) ** 0.5) / size / 2
                else:
                    covariance += cov**2 / size
    return sum(squares) / len(squares), variance, covariance
