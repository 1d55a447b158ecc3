"""The figure of the confusion matrices, one for each arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fkt.report.arms import Arm
from fkt.report.figures import save_figure, seeds_phrase, style

MAX_ANNOTATED = 12
"""Classes up to which every cell has its number."""
MAX_NAMED = 40
"""Classes up to which the axes name them."""
NAME_LENGTH = 24
COLUMNS = 3
"""Matrices side by side; more arms go below."""


def draw_confusion(arms: Sequence[Arm], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw a confusion matrix for each arm, in percent of the actual class, counts summed over seeds."""
    count = len(classes)
    named, annotated = count <= MAX_NAMED, count <= MAX_ANNOTATED
    names = [_short(name) for name in classes] if named else []
    label_size = 0.07 * max(map(len, names), default=0)  # inches
    side = float(np.clip(0.4 * count, 2.4, 6.0))
    with style("white"):
        columns = min(len(arms), COLUMNS)
        rows = -(-len(arms) // columns)
        size = (side * columns + label_size + 1.8, (side + label_size + 0.4) * rows + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        grid = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for axes in grid[len(arms) :]:
            axes.remove()
        grid = grid[: len(arms)]
        for number, (axes, arm) in enumerate(zip(grid, arms, strict=True)):
            matrix = arm.confusion
            shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            sns.heatmap(
                shares,
                ax=axes,
                vmin=0,
                vmax=100,
                cmap="Blues",
                cbar=False,
                annot=_rounded(shares) if annotated else None,
                fmt="",
                annot_kws={"size": 8},
                xticklabels=names or False,
                yticklabels=names or False,
                linewidths=0.5 if annotated else 0,
            )
            hint = "" if named else f" ({count}, named in metrics/confusion.csv)"
            first = number % columns == 0
            axes.set(title=arm.mode, xlabel=f"Predicted class{hint}", ylabel=f"Actual class{hint}" if first else "")
            axes.tick_params(axis="x", rotation=90 if label_size > 0.2 else 0)
            axes.tick_params(axis="y", rotation=0)
        figure.colorbar(grid[-1].collections[0], ax=grid, label="Share of the actual class (%)", shrink=0.8)
        figure.suptitle(f"{title}\nall test images, counted over {seeds_phrase(arms)}", fontsize=11)
        save_figure(figure, path)


def _rounded(shares: NDArray[np.float64]) -> NDArray[np.str_]:
    """Whole percents as text; cells without any are left blank, so that the errors stand out."""
    return np.array([[f"{share:.0f}" if share >= 0.5 else "" for share in row] for row in shares])


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."
