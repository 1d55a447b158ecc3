"""The comparison as Markdown tables, aligned so that they can be read on a terminal too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fkt.report.arms import Arm
from fkt.report.statistics import Comparison, adjusted
from fkt.report.summary import Spread, cost, metric

PLUS_MINUS = "\u00b1"
PERCENT_METRICS = {
    "f1": "F1",
    "balanced_accuracy": "Balanced acc.",
    "calibration_error": "Calibration error",
    "knn_accuracy": "kNN probe",
    "linear_accuracy": "Linear probe",
}
ABSENT = "-"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (w - 1)}" if n == 0 else f"{'-' * (w - 1)}:" for n, w in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def percent(found: Spread | None, digits: int = 2) -> str:
    """Format a fraction as percent, with its deviation where there is one: ``92.20 +- 0.11``."""
    return scaled(found, 100, digits)


def scaled(found: Spread | None, scale: float, digits: int) -> str:
    """Format a mean and its deviation times ``scale``."""
    if found is None:
        return ABSENT
    deviation = "" if found.std is None else f" {PLUS_MINUS} {scale * found.std:.{digits}f}"
    return f"{scale * found.mean:.{digits}f}{deviation}"


def p_value(p: float | None) -> str:
    """Format a p-value to what it is good for."""
    if p is None or not math.isfinite(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def score_table(arms: Sequence[Arm]) -> str:
    """Return the table of the paper (arXiv:2304.01354, Table II): accuracy, macro precision, macro recall."""
    rows = [
        [arm.mode, *(percent(metric(arm.results, name)) for name in ("accuracy", "precision", "recall"))]
        + [str(len(arm.seeds))]
        for arm in arms
    ]
    return markdown_table(["Mode", "Accuracy %", "Precision %", "Recall %", "Seeds"], rows)


def other_table(arms: Sequence[Arm], pretrained: Sequence[dict[str, Any]]) -> str:
    """Return the other metrics; the last row is the backbone after pretraining, before any label."""
    named = [(arm.mode, arm.results) for arm in arms]
    if pretrained:
        named.append(("SSL only", list(pretrained)))
    rows = [
        [name, *(percent(metric(results, key)) for key in PERCENT_METRICS)]
        + [scaled(metric(results, "quadratic_kappa"), 1, 3)]
        for name, results in named
    ]
    return markdown_table(["Mode", *(f"{name} %" for name in PERCENT_METRICS.values()), "Quadratic kappa"], rows)


def transfer_table(transfers: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return what probes of the pretrained features score on other datasets."""
    rows = [
        [dataset, *(percent(metric(results, name)) for name in ("knn_accuracy", "linear_accuracy"))]
        for dataset, results in transfers.items()
    ]
    return markdown_table(["Dataset", "kNN probe %", "Linear probe %"], rows)


def difference_table(comparisons: Sequence[Comparison], confidence: float) -> str:
    """Return the paired differences in accuracy, in percentage points."""
    rows = [
        [
            f"{comparison.name_a} - {comparison.name_b}",
            f"{100 * comparison.difference:+.2f}",
            f"{100 * comparison.low:+.2f} to {100 * comparison.high:+.2f}",
            p_value(comparison.p_both),
            p_value(both),
            p_value(comparison.p_images),
            p_value(images),
            p_value(comparison.p_seeds),
        ]
        for comparison, (both, images) in zip(comparisons, adjusted(comparisons), strict=True)
    ]
    interval = f"{100 * confidence:g} % interval"
    p = ["p, both", "Holm", "p, images", "Holm", "p, seeds"]
    return markdown_table(["Accuracy difference", "Points", interval, *p], rows)


def cost_table(arms: Sequence[Arm], num_train: int) -> str:
    """Return what a run of each arm took; num_train: training images, labelled or not."""
    rows = []
    for arm in arms:
        spent = cost(arm)
        rows.append(
            [
                arm.mode,
                f"{spent.image_passes / num_train:.1f}",
                f"{spent.image_passes:,.0f}",
                f"{spent.flops / 1e12:,.3g}" if spent.flops < 1e15 else f"{spent.flops / 1e12:,.0f}",
                scaled(spent.seconds, 1, 1),
                f"{spent.images_per_second:,.0f}",
                f"{spent.peak_memory_mb:,.0f}",
            ]
        )
    header = ["Mode", "Passes per image", "Image passes", "TFLOPs", "Seconds", "Images/s", "Peak memory MB"]
    return markdown_table(header, rows)
