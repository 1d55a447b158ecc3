"""The page and the figure of a sweep: our results, the published ones, and what validation accuracy chooses."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fkt.core.files import replacing
from fkt.core.runs import METRICS as FOLDER
from fkt.sweeps.experiments import FINISHED, Experiment, read_text
from fkt.sweeps.spec import (
    COSTS,
    DIFFERENCE,
    METRIC,
    METRICS,
    MODE,
    TEST,
    VALIDATION,
    Cell,
    Form,
    Sweep,
    Table,
    leaves,
    size_of,
)

SOURCE, OURS = "source", "ours"
LEGEND = "Ours: mean \u00b1 sample standard deviation over seeds; differences: mean [interval over seeds and images]."
CONDITIONS = (
    "dataset", "prepare.image_size", "prepare.limit_per_class", "labels.per_class", "labels.fraction", "model.backbone",
    "model.width", "model.weights", "ssl.method", "lambda", "budget.passes", "selection", "seeds",
)  # fmt: skip
"""Parameters that the page shows if they are the same in all experiments."""
Experiments = Mapping[str, Experiment]


def add_costs(experiment: Experiment) -> None:
    """Add metrics/costs.csv to the summary: sums over the training runs of a mode, means over seeds."""
    text = read_text(experiment.rev, FOLDER / "costs.csv")
    if not text:  # an experiment without this file
        return
    rows = pd.read_csv(io.StringIO(text))
    totals = rows.groupby(["mode", "seed"])[COSTS].sum().groupby("mode")
    for (mode, means), (_, spread) in zip(totals.mean().iterrows(), totals.std().iterrows(), strict=True):
        section = experiment.summary.setdefault(str(mode), {})
        section |= {**means, **{f"{name}_std": spread[name] for name in COSTS if spread[name] > 0}}


def results(table: Table, cells: Sequence[Cell], experiments: Experiments) -> tuple[pd.DataFrame, list[str]]:
    """Return one row for each result of a table, ours first, and the sources of the published results.

    Columns: the dimensions, ``source``, ``text`` as shown, and ``mean``, ``low`` and ``high`` in the same unit.
    """
    rows = [
        {**cell.levels, MODE: mode, METRIC: metric, SOURCE: OURS, **_ours(experiments.get(cell.name), mode, metric)}
        for cell in cells
        for mode in table.modes
        for metric in table.metrics
    ]
    datasets = {one.params.get("dataset") for one in experiments.values()}
    near = [published for published in table.published if published.dataset in {None, *datasets}]
    sources = []
    for number, published in enumerate(near or table.published, 1):
        mark = f"published [{number}] {published.dataset or ''}".strip()
        warning = "" if near or not table.modes else " **Not our dataset: do not compare with ours.**"
        sources.append(f"{mark}: {published.source}. {published.conditions}.{warning}")
        for labels, text in leaves(published.values):
            where = {MODE: "".join(table.modes[:1]), METRIC: "".join(table.metrics[:1]), SOURCE: mark}
            where |= dict(zip(table.dimensions, labels, strict=True))
            mean, std = map(float, f"{text} +- 0".split(" +- ")[:2])
            rows.append({**where, **_result(text.replace("+-", "\u00b1"), mean, mean - std, mean + std)})
    frame = pd.DataFrame(rows)
    frame[MODE] = frame[MODE].str.replace("_minus_", " - ").str.removeprefix("transfer_")
    frame[METRIC] = [METRICS[name][0] if name in METRICS else name for name in frame[METRIC]]
    for name in (*table.dimensions, SOURCE):  # pandas then sorts by first occurrence
        frame[name] = pd.Categorical(frame[name], frame[name].unique())
    return frame, sources


def page(sweep: Sweep, cells: Sequence[Cell], experiments: Experiments, sections: Sequence[str], notes: str) -> str:
    """Return the page in Markdown; ``sections``: the tables; ``notes``: what is missing."""
    finished = [one for one in experiments.values() if one.state == FINISHED]
    values = {key: {repr(one.params.get(key)) for one in finished} for key in finished[0].params}
    swept = {key for cell in cells for key in cell.settings}
    shared = [f"{key} {finished[0].params[key]}" for key in CONDITIONS if len(values.get(key, ())) == 1]
    if different := [key for key in values if len(values[key]) > 1 and key not in swept]:
        notes += f"\n\n**These experiments also differ in what the sweep does not set: {', '.join(different)}.**"
    remarks = "\n".join(f"- {line}" for line in (f"Ours: {', '.join(shared)}.", *sweep.remarks))
    parts = [f"# {sweep.title}", sweep.question, notes.strip(), LEGEND, *sections, "## Remarks", remarks]
    return "\n\n".join(part for part in parts if part) + "\n"


def section(table: Table, frame: pd.DataFrame, sources: Sequence[str]) -> str:
    """Return a table in Markdown with what validation accuracy chooses and with its sources."""
    wide = frame.pivot(index=[*table.rows, SOURCE], columns=table.columns, values="text").fillna("")
    wide.columns = [", ".join(name) if isinstance(name, tuple) else name for name in wide.columns]
    align = ["left"] * (len(table.rows) + 1) + ["right"] * len(wide.columns)
    text = wide.reset_index().to_markdown(index=False, disable_numparse=True, colalign=align)
    return "\n\n".join([f"## {table.title}", text, *_choices(table, frame), *sources])


def draw(sweep: Sweep, frames: Sequence[pd.DataFrame], path: Path) -> bool:
    """Draw every table that has a figure, and return whether there are any; the same results give the same bytes."""
    panels = [panel for table, frame in zip(sweep.tables, frames, strict=True) for panel in panels_of(table, frame)]
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    with sns.axes_style("whitegrid"), replacing(path) as partial:
        figure = Figure(figsize=(5.4 * columns, 3.6 * rows + 0.6), layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(places, panels, strict=False):
            _draw_panel(axes, *panel)
        for axes in places[len(panels) :]:
            axes.remove()
        figure.suptitle(f"{sweep.title}\nfilled: ours, with deviation or interval; hollow: published", fontsize=11)
        figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})
    return True


def panels_of(table: Table, frame: pd.DataFrame) -> Iterator[tuple[Form, str, pd.DataFrame]]:
    """Split the known results of a table by source and by each dimension that is neither x nor hue, with a title."""
    if table.figure is not None:
        names = [SOURCE, *(name for name in table.dimensions if name not in (table.figure.x, table.figure.hue))]
        for labels, part in frame.dropna(subset="mean").groupby(names, sort=False, observed=True):
            yield table.figure, ", ".join(map(str, labels)), part


def _ours(experiment: Experiment | None, mode: str, metric: str) -> dict[str, Any]:
    if experiment is None or experiment.state != FINISHED:
        return _result(experiment.state if experiment else "missing")
    section = experiment.summary.get(mode, {})
    if metric not in section:
        return _result("-")
    _, scale, digits = METRICS[metric]
    mean, std = scale * section[metric], scale * section.get(f"{metric}_std", 0.0)
    if metric == DIFFERENCE:
        low, high = (scale * section.get(end, section[metric]) for end in ("low", "high"))
        return _result(f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]", mean, low, high)
    spread = f" \u00b1 {std:,.{digits}f}" if f"{metric}_std" in section else ""
    return _result(f"{mean:,.{digits}f}{spread}", mean, mean - std, mean + std)


def _result(text: str, mean: float = math.nan, low: float = math.nan, high: float = math.nan) -> dict[str, Any]:
    return {"text": text, "mean": mean, "low": low, "high": high}


def _choices(table: Table, frame: pd.DataFrame) -> Iterator[str]:
    """Say which level of the axis ``table.choice`` validation accuracy chooses, and what this costs on test images."""
    if table.choice is None:
        return
    names = [name for name in table.dimensions if name not in (table.choice, METRIC)] or [SOURCE]
    for labels, group in frame[frame[SOURCE] == OURS].dropna().groupby(names, observed=True):
        both = group.pivot(index=table.choice, columns=METRIC, values="mean")
        if not {METRICS[VALIDATION][0], METRICS[TEST][0]} <= set(both):
            continue
        validation, test = both[METRICS[VALIDATION][0]], both[METRICS[TEST][0]]
        chosen = validation.index[validation == validation.max()]
        where = ", ".join(f"{name} {label}" for name, label in zip(names, labels, strict=True))
        yield (
            f"- {where}: validation accuracy chooses {table.choice} {' or '.join(chosen)} ({validation.max():.2f} %). "
            f"Test accuracy is {test[chosen[0]]:.2f} % with {chosen[0]}, and at most {test.max():.2f} %, with "
            f"{test.idxmax()}: the choice costs {test.max() - test[chosen[0]]:.2f} points. This is an upper estimate, "
            "because the highest of several noisy means is too high."
        )


def _draw_panel(axes: mpl.axes.Axes, figure: Form, title: str, part: pd.DataFrame) -> None:
    hues = part[figure.hue].cat.categories
    unit = str(part[METRIC].iloc[0]) if part[METRIC].nunique() == 1 else "%"
    colors = sns.color_palette("colorblind" if len(hues) <= 10 else "husl", len(hues))
    ours = part[SOURCE].iloc[0] == OURS
    data = part.melt([figure.x, figure.hue], ["low", "mean", "high"], value_name=unit)
    labels = list(part[figure.x].sort_values().unique())
    if figure.log:
        data[figure.x] = data[figure.x].astype(str).map(size_of)
    sns.pointplot(
        data,
        x=figure.x,
        y=unit,
        hue=figure.hue,
        order=None if figure.log else labels,
        native_scale=figure.log,
        log_scale=(True, False) if figure.log else None,
        hue_order=list(part[figure.hue].sort_values().unique()),
        palette=dict(zip(hues, colors, strict=True)),  # the same in all panels of a table
        estimator="median",  # of low, mean and high: the mean
        errorbar=("pi", 100),  # from low to high
        dodge=False if figure.line else 0.4,
        linestyle="none" if not figure.line else "-" if ours else "--",
        markerfacecolor=None if ours else "white",
        err_kws={"linewidth": 1.5},
        capsize=0.1,
        ax=axes,
    )
    if figure.log:
        axes.set_xticks([size_of(label) for label in labels], labels)
        axes.minorticks_off()
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)
    if sum(map(len, part[figure.x].unique())) > 36:  # more characters do not fit on one line
        axes.tick_params(axis="x", rotation=30)
    if (part["low"] < 0).any():
        axes.axhline(0.0, color="black", linewidth=1, zorder=1)
