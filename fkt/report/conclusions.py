"""Comparisons in words, for a reader who is no statistician: what may be concluded from them and what may not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fkt.report.comparison import Comparison, adjusted, distinguished
from fkt.report.significance import smallest_p

ENOUGH_SEEDS = 5
"""From here on the test over images and seeds errs about as often as it says; see ``mean_test``."""
MAX_OPEN = 3
"""Differences that are not distinguished, up to which each has a sentence of its own."""


def conclusion(comparisons: Sequence[Comparison], confidence: float) -> str:
    """Say in plain English what may and may not be concluded; accuracies in percentage points.

    confidence: the level at which the comparisons were made.
    """
    if not comparisons:
        return "There is one arm, so nothing is compared."
    told = distinguished(comparisons, confidence)
    rows = list(zip(comparisons, adjusted(comparisons), told, strict=True))
    sentences = [_won(comparison, confidence, p) for comparison, p, clear in rows if clear]
    unclear = [(comparison, p) for comparison, p, clear in rows if not clear]
    if len(unclear) > MAX_OPEN:
        pairs = ", ".join(f"{comparison.name_a} and {comparison.name_b}" for comparison, _ in unclear)
        sentences.append(f"Not distinguished are {pairs}: how far they may differ is in the table of differences.")
    else:
        sentences += [_open(comparison, confidence, p) for comparison, p in unclear]
    if not all(told):
        sentences.append("A difference that is not distinguished is no proof that two arms are equal.")
    sentences.append(_rule(len(comparisons), confidence))
    sentences.append(_seeds(comparisons[0].num_seeds, confidence))
    return " ".join(sentences)


def _won(comparison: Comparison, confidence: float, p: tuple[float, float]) -> str:
    better, worse, sign = comparison.name_a, comparison.name_b, 1
    if comparison.high < 0:
        better, worse, sign = worse, better, -1
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    return (
        f"{better} is more accurate than {worse}, distinguished from noise: by {_points(sign * comparison.difference)} "
        f"points ({100 * confidence:g} % interval {_points(low)} to {_points(high)}; {_both(p)})."
    )


def _open(comparison: Comparison, confidence: float, p: tuple[float, float]) -> str:
    a, b, low, high = comparison.name_a, comparison.name_b, comparison.low, comparison.high
    start = f"{a} and {b} are not distinguished: "
    if low == high == 0:
        return start + "with every seed they were right about the same images, and how far they may differ is open."
    if low < 0 < high:
        allowed = f"from {_points(-low)} points worse to {_points(high)} points better"
    else:
        side = "better" if high > 0 else "worse"
        near, far = sorted((abs(low), abs(high)))
        allowed = f"from {_points(near)} to {_points(far)} points {side}"
    return (
        f"{start}the difference is {100 * comparison.difference:+.2f} points, and {a} may be anything {allowed} "
        f"than {b} ({100 * confidence:g} % interval; {_both(p)})."
    )


def _rule(count: int, confidence: float) -> str:
    several = f", adjusted for {count} comparisons (Holm)," if count > 1 else ""
    alone = " Each interval is for its own comparison and not widened for the others." if count > 1 else ""
    return (
        f"A difference counts as distinguished where its interval excludes 0 and both its p{several} are below "
        f"{1 - confidence:.2g}: the one over images and seeds, and the exact one over images, which is for other test "
        f"images with these same models.{alone}"
    )


def _seeds(num_seeds: int, confidence: float) -> str:
    if num_seeds == 1:
        return (
            "With one seed the intervals, too, are for these same models: models trained with another seed may differ "
            "by more, and nothing here says by how much."
        )
    needed = next(count for count in itertools.count(1) if smallest_p(count) < 1 - confidence)
    verdict = "" if num_seeds >= needed else f", so it can distinguish nothing here; from {needed} seeds on it could"
    doubt = (
        f" With {num_seeds} their spread is hardly known, so that p over images and seeds is approximate and may be "
        "too small."
        if num_seeds < ENOUGH_SEEDS
        else ""
    )
    return (
        f"The intervals are for other test images and other seeds.{doubt} A test by seeds alone cannot give p below "
        f"{smallest_p(num_seeds):.2g} with {num_seeds} seeds{verdict}."
    )


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _both(p: tuple[float, float]) -> str:
    return f"{_p(p[0])} over images and seeds, {_p(p[1])} over images"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
