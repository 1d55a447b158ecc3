"""Tables behind the interactive plots of ``dvc plots``: metrics/curves.csv and metrics/confusion.csv."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

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
