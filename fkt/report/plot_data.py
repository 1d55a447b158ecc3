"""Tables beside the report: metrics/curves.csv and metrics/confusion.csv, which ``dvc plots`` draws, and costs.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fkt.core.arms import PRETRAINED
from fkt.report.arms import Arm

DIGITS = 5
CURVE_COLUMNS = (
    "mode",
    "seed",
    "stage",
    "passes",
    "val_accuracy",
    "val_loss",
    "loss",
    "ce",
    "ssl",
    "weight_ce",
    "weight_ssl",
    "grad_cosine",
    "grad_norm_ratio",
    "pseudo",
    "feature_std",
    "learning_rate",
)
COST_COLUMNS = ("mode", "seed", "stage", "epochs", "steps", "image_passes", "seconds", "gflops")


def curve_rows(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return one row for each point of each learning curve, in the order of the arms; absent numbers are empty."""
    frame = pd.concat([arm.curves for arm in arms], ignore_index=True)
    return frame.reindex(columns=list(CURVE_COLUMNS)).round(DIGITS)


def confusion_rows(arms: Sequence[Arm], classes: Sequence[str]) -> pd.DataFrame:
    """Return one row for each cell of the confusion matrices that is not empty, counts summed over seeds.

    Counted cells, not one row an image: exact over all seeds, and 10,000 test images stay a small file. Each arm's
    diagonal comes first, empty or not, because a plot takes the order of the classes from the order of the rows.
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


def cost_rows(arms: Sequence[Arm], pretraining: Mapping[int, dict[str, Any]]) -> pd.DataFrame:
    """Return one row for each training run of each mode: what it took, apart from the summary, for seconds differ.

    pretraining: the cost of the SSL-only backbone of each seed; an arm that starts from it has it as a row of its own
    as well. Epochs are passes over the images that a run learns from: all of them with SSL, else the labelled ones.
    """
    named = [(arm.mode, seed, part) for arm in arms for seed, parts in zip(arm.seeds, arm.costs, strict=True)
             for part in parts]  # fmt: skip
    rows = [
        {"mode": mode, "seed": seed, "gflops": part["flops"] / 1e9} | {name: part[name] for name in COST_COLUMNS[2:-1]}
        for mode, seed, part in [*named, *((PRETRAINED, seed, part) for seed, part in pretraining.items())]
    ]
    return pd.DataFrame(rows, columns=list(COST_COLUMNS)).round(DIGITS)
