"""Draws test accuracy, learning curves and confusion matrices, and sets the style of every figure.

Uses plain Figure objects: no window system, no global state. The same data give the same bytes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fkt.core.arms import PALETTE
from fkt.core.files import replacing
from fkt.report.arms import Arm
from fkt.report.summary import score
from fkt.report.tables import percent

PANELS = {
    "val_accuracy": "Validation accuracy (%)",
    "val_loss": "Validation cross-entropy",
    "ce": "Training cross-entropy",
    "ssl": "Self-supervised loss",
    "pseudo": "Cross-entropy on clusters",
    "grad_cosine": "Cosine of the two gradients",
    "grad_norm_ratio": "Gradient norm, SSL / CE (log scale)",
    "weight_ssl": "Weights of the two losses",
}
"""Columns of the learning curves, and their labels. The last three are of the joint run."""
NEUTRAL = {"grad_cosine": 0.0, "grad_norm_ratio": 1.0}
"""Value at which the two gradients are orthogonal, or equally large."""
WEIGHTS = {"weight_ssl": "self-supervised", "weight_ce": "cross-entropy"}
DPI = 150
MAX_ANNOTATED = 12
"""Largest number of classes for which each cell of a confusion matrix has its number."""
MAX_NAMED = 40
"""Largest number of classes for which the axes of a confusion matrix have their names."""
NAME_LENGTH = 24
COLUMNS = 3
"""Confusion matrices in a row."""


def draw_accuracy(arms: Sequence[Arm], title: str, path: Path) -> None:
    """Draw test accuracy: a dot for every seed; a diamond with bars for mean and standard deviation."""
    frame = pd.DataFrame(
        [(arm.mode, 100 * result["accuracy"]) for arm in arms for result in arm.results], columns=["mode", "accuracy"]
    )
    with style("whitegrid"):
        figure = Figure(figsize=(7, 1.4 + 0.8 * len(arms)), layout="constrained")
        axes = figure.subplots()
        shared = {"data": frame, "x": "accuracy", "y": "mode", "hue": "mode", "palette": PALETTE, "legend": False}
        sns.stripplot(**shared, ax=axes, jitter=False, size=6, alpha=0.5)
        point = {"marker": "D", "markersize": 8, "linestyle": "none", "err_kws": {"lw": 2}}
        sns.pointplot(**shared, ax=axes, errorbar="sd", capsize=0.15, **point)
        for row, arm in enumerate(arms):
            found = score(arm.results, "accuracy")
            assert found is not None
            text, place = f"{percent(found)} %", (100 * found.mean, row)
            axes.annotate(text, place, (0, 11), textcoords="offset points", ha="center")
        axes.set(xlabel="Test accuracy (%)", ylabel="", ylim=(len(arms) - 0.5, -0.65))
        note = _spread_note(len(arms[0].seeds), "dots: single seeds; diamonds", "bars")
        axes.set_title(f"{title}\n{note}", fontsize=10)
        axes.margins(x=0.15)
        save_figure(figure, path)


def draw_curves(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Draw accuracy and losses over image passes: the mean over seeds, with a band of one standard deviation.

    curves: see ``curve_rows``. Panels without numbers are left out, and so are weights that do not change.
    """
    frame = curves.assign(val_accuracy=100 * curves["val_accuracy"])
    panels = [name for name in PANELS if frame[name].notna().any()]
    if frame.groupby(["mode", "seed"])[list(WEIGHTS)].nunique().le(1).all(axis=None):
        panels = [name for name in panels if name not in WEIGHTS]
    marks = _label_marks(frame)
    with style("whitegrid"):
        figure = Figure(figsize=(10, 3.2 * -(-len(panels) // 2) + 0.8), layout="constrained")
        for axes, name in zip(_grid(figure, len(panels), 2), panels, strict=True):
            _draw_panel(axes, frame, name)
            for passes, color in marks.values() if name not in NEUTRAL and name not in WEIGHTS else []:
                axes.axvline(passes, color=color, linestyle=":", zorder=1)
        handles = [Line2D([], [], color=PALETTE[mode], label=mode) for mode in frame["mode"].unique()]
        handles += [Line2D([], [], color=color, linestyle=":", label=label) for label, (_, color) in marks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False)
        figure.align_ylabels()
        figure.suptitle(f"{title}\n{_spread_note(frame['seed'].nunique(), 'lines', 'bands')}", fontsize=11)
        save_figure(figure, path)


def draw_confusion(cells: pd.DataFrame, classes: Sequence[str], num_seeds: int, title: str, path: Path) -> None:
    """Draw a confusion matrix for each arm, in percent of the actual class.

    cells: see ``confusion_rows``.
    """
    count, modes = len(classes), list(cells["mode"].unique())
    names = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..." for name in classes]
    names = names if count <= MAX_NAMED else []
    hint = "" if names else f" ({count}, named in metrics/confusion.csv)"
    label_size = 0.07 * max(map(len, names), default=0)  # inches
    side = float(np.clip(0.4 * count, 2.4, 6.0))
    with style("white"):
        columns = min(len(modes), COLUMNS)
        rows = -(-len(modes) // columns)
        size = (side * columns + label_size + 1.8, (side + label_size + 0.4) * rows + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        grid = _grid(figure, len(modes), columns)
        for axes, (mode, own) in zip(grid, cells.groupby("mode", sort=False), strict=True):
            matrix = own.pivot(index="actual", columns="predicted", values="share")
            shares = 100 * matrix.reindex(index=list(classes), columns=list(classes)).fillna(0.0).to_numpy()
            # Cells below half a percent have no number, so that the errors are easy to see.
            numbers = np.where(shares >= 0.5, np.char.mod("%.0f", shares), "") if count <= MAX_ANNOTATED else None
            sns.heatmap(
                shares,
                ax=axes,
                vmin=0,
                vmax=100,
                cmap="Blues",
                cbar=False,
                annot=numbers,
                fmt="",
                annot_kws={"size": 8},
                xticklabels=names or False,
                yticklabels=names or False,
                linewidths=0.5 if count <= MAX_ANNOTATED else 0,
            )
            axes.set(title=mode, xlabel=f"Predicted class{hint}", ylabel="")
            axes.tick_params(axis="x", rotation=90 if label_size > 0.2 else 0)
            axes.tick_params(axis="y", rotation=0, labelleft=axes in grid[::columns])
        for axes in grid[::columns]:
            axes.set_ylabel(f"Actual class{hint}")
        figure.colorbar(grid[0].collections[0], ax=grid, label="Share of the actual class (%)", shrink=0.8)
        figure.suptitle(f"{title}\nall test images, counted over {_seeds(num_seeds)}", fontsize=11)
        save_figure(figure, path)


def save_figure(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a PNG, without the version of the software in its metadata."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, metadata={"Software": None})


@contextmanager
def style(name: str) -> Iterator[None]:
    """Use a style of seaborn and ignore the user's matplotlibrc. A $ in a name is a $, not a formula."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(sns.axes_style(name) | {"text.parse_math": False})
        yield


def _grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return ``count`` axes in rows of ``columns``."""
    grid = list(figure.subplots(-(-count // columns), columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    return grid[:count]


def _draw_panel(axes: Axes, frame: pd.DataFrame, name: str) -> None:
    """Draw one column of the learning curves for all arms that have it."""
    shared = {"data": frame, "x": "passes", "hue": "mode", "palette": PALETTE, "legend": False, "ax": axes}
    shared["errorbar"] = "sd" if frame["seed"].nunique() > 1 else None
    if name == "grad_norm_ratio":  # on this scale seaborn averages logarithms: 2 and 1/2 are equally far from 1
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    if name in WEIGHTS:
        for column, dashes in zip(WEIGHTS, ("-", "--"), strict=True):
            sns.lineplot(y=column, linestyle=dashes, **shared)
        lines = [Line2D([], [], color=PALETTE["functional"], linestyle=dashes) for dashes in ("-", "--")]
        axes.legend(lines, list(WEIGHTS.values()), fontsize="small")
        axes.set_ylim(0, None)
    elif name in NEUTRAL:
        sns.lineplot(y=name, marker="o", markersize=5, **shared)
        axes.axhline(NEUTRAL[name], color="0.35", linewidth=1, zorder=1)
    else:
        sns.lineplot(y=name, **shared)
    axes.set(xlabel="Image passes per training image", ylabel=PANELS[name], xlim=(0, 1.02 * frame["passes"].max()))


def _label_marks(frame: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """Return label, image passes and color of the end of pretraining; one mark if it is the same for all arms."""
    ends = frame[frame["ce"].isna()].groupby("mode", sort=False)["passes"].max()
    label = "training on labels starts"
    if len(ends) > 1 and ends.max() - ends.min() < 0.02 * frame["passes"].max():
        return {label: (float(ends.iloc[0]), "0.4")}
    return {f"{label}, {mode}": (passes, PALETTE[str(mode)]) for mode, passes in ends.items()}


def _spread_note(num_seeds: int, center: str, around: str) -> str:
    """Say what shows the mean and what the standard deviation."""
    if num_seeds == 1:
        return "one seed, so no standard deviation"
    return f"{center}: mean over {_seeds(num_seeds)}; {around}: one standard deviation"


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"
