"""Figures of accuracy and learning curves, and how every figure is styled and saved.

Drawn on plain Figure objects, so no window system and no global state is touched; the same data give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fkt.core.arms import PALETTE
from fkt.core.files import replacing
from fkt.report import fusion
from fkt.report.arms import Arm
from fkt.report.summary import metric
from fkt.report.tables import percent

PANELS = {
    "val_accuracy": "Validation accuracy (%)",
    "val_loss": "Validation cross-entropy",
    "ce": "Training cross-entropy",
    "ssl": "Self-supervised loss",
    "pseudo": "Cross-entropy on clusters",
}
DPI = 150


def draw_accuracy(arms: Sequence[Arm], title: str, path: Path) -> None:
    """Draw test accuracy: every seed as a dot, mean and standard deviation over seeds as a diamond with bars."""
    frame = pd.DataFrame(
        [(arm.mode, 100 * result["accuracy"]) for arm in arms for result in arm.results], columns=["mode", "accuracy"]
    )
    with style("whitegrid"):
        figure = Figure(figsize=(7, 1.4 + 0.8 * len(arms)), layout="constrained")
        axes = figure.subplots()
        shared = {"data": frame, "x": "accuracy", "y": "mode", "hue": "mode", "palette": PALETTE, "legend": False}
        sns.stripplot(**shared, ax=axes, jitter=False, size=6, alpha=0.5)
        sns.pointplot(
            **shared,
            ax=axes,
            errorbar="sd",
            capsize=0.15,
            marker="D",
            markersize=8,
            linestyle="none",
            err_kws={"lw": 2},
        )
        for row, arm in enumerate(arms):
            found = metric(arm.results, "accuracy")
            assert found is not None
            axes.annotate(
                f"{percent(found)} %", (100 * found.mean, row), (0, 11), textcoords="offset points", ha="center"
            )
        axes.set(xlabel="Test accuracy (%)", ylabel="", ylim=(len(arms) - 0.5, -0.65))
        axes.set_title(f"{title}\n{_spread_note(arms, 'dots: single seeds; diamonds', 'bars')}", fontsize=10)
        axes.margins(x=0.15)
        save_figure(figure, path)


def draw_curves(arms: Sequence[Arm], title: str, path: Path) -> None:
    """Draw accuracy and losses over what each arm has spent; the mean over seeds with a band of one deviation.

    Where an arm trains on two losses, also how their gradients and, where these move, their weights compare.
    """
    frame = pd.concat([arm.curves for arm in arms], ignore_index=True)
    frame["passes"] = frame["passes"].round(6)  # the same step of two seeds is one point
    frame["val_accuracy"] *= 100
    errorbar = "sd" if len(arms[0].seeds) > 1 else None
    panels = [name for name in PANELS if name in frame and frame[name].notna().any()] + fusion.panels(frame)
    with style("whitegrid"):
        figure = Figure(figsize=(10, 3.2 * ((len(panels) + 1) // 2) + 0.8), layout="constrained")
        grid = list(figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).flat)
        for axes, name in zip(grid, panels, strict=False):
            if name in fusion.PANELS:
                fusion.draw_panel(axes, frame, name, PALETTE[fusion.MODE], errorbar)
                continue
            sns.lineplot(
                data=frame,
                x="passes",
                y=name,
                hue="mode",
                hue_order=[arm.mode for arm in arms],
                palette=PALETTE,
                errorbar=errorbar,
                legend=name == panels[0],
                ax=axes,
            )
            axes.set(xlabel="Image passes per training image", ylabel=PANELS[name], xlim=(0, None))
            _mark_labels(axes, frame)
        for axes in grid[len(panels) :]:
            axes.remove()
        first = figure.axes[0]
        handles, labels = first.get_legend_handles_labels()
        legend = first.get_legend()
        assert legend is not None
        legend.remove()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 6), frameon=False)
        figure.align_ylabels()
        figure.suptitle(f"{title}\n{_spread_note(arms, 'lines', 'bands')}", fontsize=11)
        save_figure(figure, path)


def save_figure(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a PNG without the version of the software that made it."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, metadata={"Software": None})


@contextmanager
def style(name: str) -> Iterator[None]:
    """The look of a figure, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(sns.axes_style(name))
        yield


def _mark_labels(axes: mpl.axes.Axes, frame: pd.DataFrame) -> None:
    """Mark where the labels come in, after pretraining: once where that is the same for all arms to within a step."""
    before = frame[frame["ce"].isna()].groupby("mode", sort=False)["passes"].max()
    alike = len(before) > 1 and before.max() - before.min() < 0.02 * frame["passes"].max()
    for mode, passes in before.head(1 if alike else len(before)).items():
        color = "0.4" if alike else PALETTE[str(mode)]
        label = "labels come in" if alike else f"labels come in, {mode}"
        axes.axvline(passes, color=color, linestyle=":", label=label, zorder=1)


def _spread_note(arms: Sequence[Arm], center: str, around: str) -> str:
    """Say what is the mean and what the deviation in a figure."""
    if len(arms[0].seeds) == 1:
        return "one seed, so no deviation"
    return f"{center}: mean over {seeds_phrase(arms)}; {around}: one standard deviation"


def seeds_phrase(arms: Sequence[Arm]) -> str:
    """Say over how many seeds the arms were run."""
    count = len(arms[0].seeds)
    return f"{count} seed" if count == 1 else f"{count} seeds"
