"""The comparison as numbers: means and deviations over seeds, paired differences, and metrics/summary.json.

Formats nothing; what a person reads is made in tables.py and report.py.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fkt.core.arms import ARMS, PRETRAINED
from fkt.params import Report
from fkt.report.arms import Arm
from fkt.report.statistics import Comparison, compare

SCORES = {
    "accuracy": "accuracy",
    "precision": "macro_precision",
    "recall": "macro_recall",
    "f1": "macro_f1",
    "balanced_accuracy": "balanced_accuracy",
    "quadratic_kappa": "quadratic_kappa",
    "calibration_error": "calibration_error",
    "knn_accuracy": "knn_accuracy",
    "linear_accuracy": "linear_accuracy",
}
"""Names in the summary, and in the results of a run; precision, recall and F1 are means over classes (macro)."""
SPREAD = ("accuracy", "precision", "recall", "knn_accuracy", "linear_accuracy")
"""Metrics whose deviation is in the summary too; the report has all of them."""
DIGITS = 5
"""Decimals in metrics/summary.json: far below any deviation, and stable to read in a diff."""
P_DIGITS = 3
"""Significant digits of a p-value; decimals would make a small one 0."""
TRANSFER = "transfer_"
"""Before the name of a dataset: the section of what pretrained features are worth there."""
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (ddof=1) over seeds; no deviation for a single one."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class Cost:
    """What one run of an arm took, all its training runs added up, as means over seeds."""

    image_passes: float
    """Images forward and backward through the backbone."""
    flops: float
    seconds: Spread
    images_per_second: float
    peak_memory_mb: float
    """The largest of all runs."""
    hardware: list[str]
    """Every different machine setting that a run was trained on."""


def spread(values: Sequence[float | None]) -> Spread | None:
    """Summarize one number over seeds; None where any seed has none."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known or len(known) < len(values):
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def metric(results: Sequence[dict[str, Any]], name: str) -> Spread | None:
    """Summarize a metric of SCORES over seeds; None where the runs have no such number."""
    return spread([result.get(SCORES[name]) for result in results])


def cost(arm: Arm) -> Cost:
    """Add up what an arm's runs took: pretraining counts."""

    def totals(key: str) -> list[float]:
        return [math.fsum(part[key] for part in parts) for parts in arm.costs]

    runs = list(itertools.chain.from_iterable(arm.costs))
    seconds = spread(totals("seconds"))
    assert seconds is not None
    return Cost(
        image_passes=statistics.fmean(totals("image_passes")),
        flops=statistics.fmean(totals("flops")),
        seconds=seconds,
        images_per_second=sum(totals("image_passes")) / sum(totals("seconds")),
        peak_memory_mb=max(run["peak_memory_mb"] for run in runs),
        hardware=sorted({f"{run['device']}, {run['precision']}, {_threads(run['threads'])}" for run in runs}),
    )


def cost_by_stage(arm: Arm) -> dict[str, tuple[float, float]]:
    """Return image passes and FLOPs of each of an arm's training stages, as means over seeds."""
    return {
        stage: (
            statistics.fmean(parts[number]["image_passes"] for parts in arm.costs),
            statistics.fmean(parts[number]["flops"] for parts in arm.costs),
        )
        for number, stage in enumerate(arm.stages)
    }


def compare_arms(arms: Sequence[Arm], report: Report) -> list[Comparison]:
    """Compare every two arms on the same test images and seeds, functional against representational first."""
    ordered = sorted(arms, key=lambda arm: -ARMS.index(arm.mode))
    return [
        compare(
            later.mode,
            earlier.mode,
            later.correct,
            earlier.correct,
            samples=report.bootstrap_samples,
            confidence=report.confidence,
            seed=BOOTSTRAP_SEED,
        )
        for later, earlier in itertools.combinations(ordered, 2)
    ]


def summarize(
    arms: Sequence[Arm], pretrained: Sequence[dict[str, Any]], comparisons: Sequence[Comparison]
) -> dict[str, dict[str, float]]:
    """Return the content of metrics/summary.json: two levels, numbers only, the same for two identical runs.

    What has no number (the deviation of a single seed, a metric that a run lacks) is left out: to DVC neither null
    nor nan is one.
    """
    summary = {}
    for arm in arms:
        spent = cost(arm)
        summary[arm.mode] = (
            _metrics(arm.results)
            | _validation(arm)
            | {
                "seeds": len(arm.seeds),
                "image_passes": round(spent.image_passes),
                "gflops": round(spent.flops / 1e9, DIGITS),
            }
        )
    if pretrained:
        summary[PRETRAINED] = _metrics(pretrained) | {"seeds": len(pretrained)}
    for comparison in comparisons:
        differences = {"difference": comparison.difference, "low": comparison.low, "high": comparison.high}
        # Not Holm's: it depends on all comparisons, so that one arm's change would show in rows of the others.
        p_values = {"p_both": comparison.p_both, "p_images": comparison.p_images, "p_seeds": comparison.p_seeds}
        summary[f"{comparison.name_a}_minus_{comparison.name_b}"] = {
            name: round(value, DIGITS) for name, value in differences.items() if math.isfinite(value)
        } | {name: float(f"{p:.{P_DIGITS}g}") for name, p in p_values.items() if math.isfinite(p)}
    return summary


def summarize_transfers(transfers: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return the sections of metrics/summary.json on other datasets: probes of pretrained features, by dataset."""
    return {
        f"{TRANSFER}{dataset}": _metrics(results) | {"seeds": len(results)} for dataset, results in transfers.items()
    }


def _metrics(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    numbers = {}
    for name in SCORES:
        found = metric(results, name)
        if found is None:
            continue
        numbers[name] = round(found.mean, DIGITS)
        if found.std is not None and name in SPREAD:
            numbers[f"{name}_std"] = round(found.std, DIGITS)
    return numbers


def _validation(arm: Arm) -> dict[str, float]:
    """Return the validation accuracy of the weights that each seed kept, not rounded: settings are chosen by it."""
    found = spread(arm.kept_val_accuracy)
    if found is None:
        return {}
    return {"val_accuracy": found.mean} | ({"val_accuracy_std": found.std} if found.std is not None else {})


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"
