"""Slow, independent versions of algorithms, loop by loop. Tests compare the fast ones with them."""

import math
from collections.abc import Sequence


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Cosine of the angle between two vectors."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def lars_step(
    weight: Sequence[float],
    gradient: Sequence[float],
    buffer: Sequence[float],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    trust_coefficient: float,
) -> tuple[list[float], list[float]]:
    """One step of You et al. (arXiv:1708.03888) for one layer: the new weight and momentum buffer."""
    weight_norm = math.sqrt(sum(w * w for w in weight))
    gradient_norm = math.sqrt(sum(g * g for g in gradient))
    ratio = 1.0
    if weight_norm > 0 and gradient_norm > 0:
        ratio = trust_coefficient * weight_norm / (gradient_norm + weight_decay * weight_norm)
    new_buffer = [
        momentum * m + ratio * (g + weight_decay * w) for w, g, m in zip(weight, gradient, buffer, strict=True)
    ]
    return [w - lr * m for w, m in zip(weight, new_buffer, strict=True)], new_buffer
