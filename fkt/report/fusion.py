"""How the two losses of the joint run got along: their gradients and weights, as panels and as a table.

Draws on axes that it is given; knows no figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
import seaborn as sns

from fkt.report.arms import Arm
from fkt.report.summary import spread
from fkt.report.tables import markdown_table, scaled

MODE = "functional"
PANELS = {
    "grad_cosine": "Cosine of the losses' gradients",
    "grad_norm_ratio": "Gradient norm, SSL / CE (log)",
    "weight_ssl": "Weight of the loss",
}
WEIGHTS = {"weight_ssl": "self-supervised", "weight_ce": "cross-entropy"}
ROWS = {
    "weight_ce": "Weight of cross-entropy",
    "weight_ssl": "Weight of the self-supervised loss",
    "grad_cosine": "Cosine of their gradients",
    "grad_norm_ratio": "Norm of the self-supervised gradient over that of cross-entropy",
}


def panels(frame: pd.DataFrame) -> list[str]:
    """Return the names of the panels for which the learning curves have numbers; weights that stay are not drawn."""
    found = [name for name in PANELS if name in frame and frame[name].notna().any()]
    moving = any(name in frame and frame.groupby(["mode", "seed"])[name].nunique().gt(1).any() for name in WEIGHTS)
    return [name for name in found if moving or name not in WEIGHTS]


def draw_panel(axes: mpl.axes.Axes, frame: pd.DataFrame, name: str, color: str, errorbar: str | None) -> None:
    """Draw a panel of PANELS over what was spent: the mean over seeds, and around it what errorbar says.

    Norm ratios are averaged as logarithms, in which twice and half as large are equally far from even.
    """
    shared = {"x": "passes", "color": color, "errorbar": errorbar, "ax": axes, "legend": False}
    frame = frame[frame["mode"] == MODE]
    if name == "grad_norm_ratio":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    if name in WEIGHTS:
        for column, style in zip(WEIGHTS, ("-", "--"), strict=True):
            sns.lineplot(data=frame, y=column, linestyle=style, **shared)
        handles = [mpl.lines.Line2D([], [], color=color, linestyle=style) for style in ("-", "--")]
        axes.legend(handles, list(WEIGHTS.values()), fontsize="small")
        axes.set_ylim(0, None)
    else:
        sns.lineplot(data=frame, y=name, marker="o", markersize=5, **shared)
        even = 0.0 if name == "grad_cosine" else 1.0
        axes.axhline(even, color="0.35", linewidth=1, zorder=1)
    axes.set(xlabel="Image passes per training image", ylabel=PANELS[name], xlim=(0, None))


def fusion_table(arms: Sequence[Arm]) -> str:
    """Return weights and gradients as a table, or nothing where no arm has two losses or none was told.

    First and last are rows of the learning curve, each a mean over its steps; spreads are over seeds.
    """
    curves = [curve for arm in arms if arm.mode == MODE for _, curve in arm.curves.groupby("seed")]
    rows = []
    for name, title in ROWS.items():
        told = [curve[name].dropna().tolist() if name in curve else [] for curve in curves]
        if told and all(told):
            numbers = [[values[0] for values in told], [sum(v) / len(v) for v in told], [v[-1] for v in told]]
            rows.append([title, *(scaled(spread(values), 1, 3) for values in numbers)])
    return markdown_table(["", "First", "Mean over the run", "Last"], rows) if rows else ""
