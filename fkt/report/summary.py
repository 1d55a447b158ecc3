"""The numbers of the report: means over seeds, costs, comparisons, the JSON files and the CSV files of the plots.

Formats nothing; see tables.py and page.py.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fkt.core.arms import ARMS, PRETRAINED, UNTRAINED
from fkt.params import Report
from fkt.report.arms import Arm, Results
from fkt.report.scores import class_contributions, contributions
from fkt.report.statistics import Comparison, Level, compare

SCORES = {
    "accuracy": "accuracy",
    "precision": "macro_precision",
    "recall": "macro_recall",
    "f1": "macro_f1",
    "balanced_accuracy": "balanced_accuracy",
    "auroc": "auroc",
    "top5_accuracy": "top5_accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "quadratic_kappa": "quadratic_kappa",
    "calibration_error": "calibration_error",
    "knn_accuracy": "knn_accuracy",
    "linear_accuracy": "linear_accuracy",
}
"""Names in the summary and in the results of a run. Precision, recall and F1 are averages over the classes (macro)."""
WITH_STD = ("accuracy", "precision", "recall", "knn_accuracy", "linear_accuracy")
"""Scores whose standard deviation is in the summary too; the page shows all deviations."""
DIGITS = 5
"""Decimals in summary.json and in the CSV files: far below any standard deviation, and easy to read in a diff."""
P_DIGITS = 3
"""Significant digits of a p-value; with decimals, a small one would become 0."""
TRANSFER = "transfer_"
"""Prefix of the summary's sections about other datasets."""
CURVE_COLUMNS = (
    "mode", "seed", "stage", "passes", "val_accuracy", "val_loss", "loss", "ce", "ssl", "weight_ce", "weight_ssl",
    "grad_cosine", "grad_norm_ratio", "pseudo", "feature_std", "learning_rate",
)  # fmt: skip
COST_COLUMNS = ("mode", "seed", "stage", "epochs", "steps", "image_passes", "seconds", "gflops")


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (ddof=1) over seeds; std is None for a single seed."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Cost:
    """Cost of one run of an arm, summed over its training stages; means over seeds."""

    image_passes: float
    """Images forward and backward through the backbone."""
    flops: float
    seconds: Spread
    images_per_second: float
    peak_memory_mb: float
    """Maximum over all runs."""
    hardware: list[str]
    """Processor, precision and threads of the runs, without repetition."""
    stages: list[tuple[str, float, float]]
    """Name, image passes and FLOPs of each training stage."""


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return mean and standard deviation over seeds; None if the number is missing or nan for any seed."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known or len(known) < len(values):
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def score(results: Sequence[dict[str, Any]], name: str) -> Spread | None:
    """Return mean and standard deviation of a score of SCORES; None if the runs do not have it."""
    return spread([result.get(SCORES[name]) for result in results])


def cost(arm: Arm) -> Cost:
    """Return the cost of an arm, pretraining included."""

    def totals(key: str) -> list[float]:
        return [math.fsum(part[key] for part in parts) for parts in arm.costs]

    def mean(parts: Sequence[dict[str, Any]], key: str) -> float:
        return statistics.fmean(part[key] for part in parts)

    runs = list(itertools.chain.from_iterable(arm.costs))
    threads = [f"{run['threads']} thread{'s' * (run['threads'] > 1)}" for run in runs]
    seconds = spread(totals("seconds"))
    assert seconds is not None
    return Cost(
        image_passes=statistics.fmean(totals("image_passes")),
        flops=statistics.fmean(totals("flops")),
        seconds=seconds,
        images_per_second=sum(totals("image_passes")) / sum(totals("seconds")),
        peak_memory_mb=max(run["peak_memory_mb"] for run in runs),
        hardware=sorted({f"{run['device']}, {run['precision']}, {n}" for run, n in zip(runs, threads, strict=True)}),
        stages=[
            (str(parts[0]["stage"]), mean(parts, "image_passes"), mean(parts, "flops"))
            for parts in zip(*arm.costs, strict=True)
        ],
    )


def compare_arms(arms: Sequence[Arm], report: Report) -> tuple[list[Comparison], list[Comparison]]:
    """Compare arms on the same test images and seeds. Returns the contrasts of params.yaml, and all other pairs.

    The intervals of the contrasts share one level. Each other pair, the later arm minus the earlier, has its own.
    """
    values = {
        arm.mode: np.stack([contributions(report.metric, arm.labels, one) for one in arm.probabilities]) for arm in arms
    }
    primary = [pair for pair in report.pairs if set(pair) <= set(values)]
    ordered = sorted(values, key=lambda mode: -ARMS.index(mode))
    others = [pair for pair in itertools.combinations(ordered, 2) if not {pair, pair[::-1]} & set(primary)]
    found = [
        compare(a, b, values[a], values[b], Level(report.confidence, contrasts), arms[0].groups)
        for pairs, contrasts in ((primary, len(primary)), (others, 1))
        for a, b in pairs
    ]
    return found[: len(primary)], found[len(primary) :]


def validation(arms: Sequence[Arm]) -> dict[str, dict[str, float]]:
    """Return the content of metrics/validation.json, by which settings are chosen. It is not rounded."""
    return {"val": {arm.mode: statistics.fmean(arm.kept_val_accuracy) for arm in arms}}


def headline(arms: Sequence[Arm], metric: str, contrasts: Sequence[Comparison]) -> dict[str, Any]:
    """Return the content of metrics/test.json: the score ``metric`` of each arm, and the differences of the contrasts.

    DVC shows these few numbers and those of metrics/validation.json; all others are in metrics/summary.json.
    """
    scores = {arm.mode: spread([result.get(metric) for result in arm.results]) for arm in arms}
    return {
        "test": {mode: round(found.mean, DIGITS) for mode, found in scores.items() if found is not None},
        **{_minus(found): round(found.difference, DIGITS) for found in contrasts},
    }


def summarize(results: Results, comparisons: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """Return the content of metrics/summary.json: two levels, numbers only, the same for two identical runs.

    A missing number (the deviation of a single seed, a score that a run does not have) is left out, because DVC cannot
    compare null and nan.
    """
    summary = {}
    for arm in results.arms:
        spent = cost(arm)
        summary[arm.mode] = _mean_and_std("val_accuracy", spread(arm.kept_val_accuracy), with_std=True)
        summary[arm.mode] |= _scores(arm.results)
        summary[arm.mode] |= {
            "seeds": len(arm.seeds),
            "image_passes": round(spent.image_passes),
            "gflops": round(spent.flops / 1e9, DIGITS),
        }
    if results.pretrained:
        summary[PRETRAINED] = _scores(results.pretrained) | {"seeds": len(results.pretrained)}
    summary[UNTRAINED] = _scores(results.untrained) | {"seeds": len(results.untrained)}
    for found in comparisons:
        numbers = {"difference": found.difference, "low": found.low, "high": found.high}
        numbers |= {f"std_{name}": value for name, value in found.spread._asdict().items()}
        summary[_minus(found)] = {name: round(value, DIGITS) for name, value in numbers.items()} | {
            "p": float(f"{found.p:.{P_DIGITS}g}"),
            "images": len(results.arms[0].labels),
        }
    for dataset, scores in results.transfers.items():
        summary[f"{TRANSFER}{dataset}"] = _scores(scores) | {"seeds": len(scores)}
    return summary


def curve_rows(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return one row for each point of each learning curve, in the order of the arms; missing numbers are nan."""
    frame = pd.concat([arm.curves for arm in arms], ignore_index=True)
    return frame.reindex(columns=list(CURVE_COLUMNS)).round(DIGITS)


def confusion_rows(arms: Sequence[Arm], classes: Sequence[str]) -> pd.DataFrame:
    """Return one row for each non-empty cell of the confusion matrices, counts summed over seeds.

    The diagonal of each arm comes first and is complete, because the plots take the order of the classes from the
    order of the rows.
    """
    rows = []
    for arm in arms:
        cells = [
            (arm.mode, actual, predicted, count, count / max(sum(counts), 1))
            for actual, counts in zip(classes, arm.confusion.tolist(), strict=True)
            for predicted, count in zip(classes, counts, strict=True)
            if count > 0 or predicted == actual
        ]
        rows += sorted(cells, key=lambda cell: cell[1] != cell[2])
    return pd.DataFrame(rows, columns=["mode", "actual", "predicted", "images", "share"]).round(DIGITS)


def class_rows(arms: Sequence[Arm], classes: Sequence[str], confidence: float) -> pd.DataFrame:
    """Return one row for each arm, class and score, with an interval for other test images and other seeds."""
    rows = []
    for arm, (position, name) in itertools.product(arms, enumerate(classes)):
        parts = [class_contributions(arm.labels, one, position) for one in arm.probabilities]
        for key in parts[0]:
            values = np.stack([part[key] for part in parts])
            found = compare(key, "", values, np.zeros_like(values), Level(confidence), arm.groups)
            count = int((arm.labels == position).sum())
            rows.append((arm.mode, name, count, key, found.difference, max(0.0, found.low), found.high))
    columns = ["mode", "class", "images", "score", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def cost_rows(results: Results) -> pd.DataFrame:
    """Return one row for each training run of each mode. Not in the summary, because seconds differ between runs.

    Pretraining is a row of each arm that starts from it, and of the mode ``pretrained``. Epochs are passes over the
    images that a run learns from: all training images with SSL, otherwise the labelled ones.
    """
    runs = [
        (arm.mode, seed, part)
        for arm in results.arms
        for seed, parts in zip(arm.seeds, arm.costs, strict=True)
        for part in parts
    ]
    seeds = results.arms[0].seeds if results.pretraining else []
    runs += [(PRETRAINED, seed, part) for seed, part in zip(seeds, results.pretraining, strict=True)]
    rows = [part | {"mode": mode, "seed": seed, "gflops": part["flops"] / 1e9} for mode, seed, part in runs]
    return pd.DataFrame(rows)[list(COST_COLUMNS)].round(DIGITS)


def _scores(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name in SCORES:
        numbers |= _mean_and_std(name, score(results, name), name in WITH_STD)
    return numbers


def _mean_and_std(name: str, found: Spread | None, with_std: bool) -> dict[str, float]:
    if found is None:
        return {}
    std = {f"{name}_std": round(found.std, DIGITS)} if with_std and found.std is not None else {}
    return {name: round(found.mean, DIGITS), **std}


def _minus(found: Comparison) -> str:
    return f"{found.name_a}_minus_{found.name_b}"
