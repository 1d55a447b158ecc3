"""The table and the figure of all trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkt.core.arms import PALETTE
from fkt.core.files import replacing
from fkt.tuning.knobs import CHOICES, LOG, Knob
from fkt.tuning.trials import Score, Trial, ends


@dataclass(frozen=True)
class Outcome:
    """All trials of one arm."""

    arm: str
    knobs: Sequence[Knob]
    trials: Sequence[Trial]
    scores: Mapping[str, Score]
    chosen: Trial

    def score(self, trial: Trial) -> Score:
        """Return the score of a trial."""
        return self.scores[trial.cell.name]

    @property
    def failed(self) -> list[Trial]:
        """The trials that have failed."""
        return [trial for trial in self.trials if not self.score(trial).accuracy]


def page(outcomes: Sequence[Outcome], conditions: Mapping[str, object], seeds: Sequence[int]) -> str:
    """Return the page in Markdown."""
    shared = ", ".join(f"{key} {_shown(value)}" for key, value in conditions.items() if value is not None)
    trials = {len(outcome.trials) for outcome in outcomes}
    intro = (
        f"Each arm has {' or '.join(map(str, sorted(trials)))} trials over its own settings, with seeds "
        f"{', '.join(map(str, seeds))}, which the comparison does not use. Trial 0 has the settings before the tuning. "
        "Scores are means over seeds on validation images, of the weights that each training keeps; no test image was "
        "opened. The score of the chosen trial is too high as an estimate, because it is the highest of several."
    )
    sections = [section for outcome in outcomes for section in _section(outcome)]
    return "\n\n".join(["# Settings chosen on validation images", intro, f"Conditions: {shared}.", *sections]) + "\n"


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw validation accuracy against each setting, a row of panels for each arm; equal trials give equal bytes."""
    columns = max(len(outcome.knobs) for outcome in outcomes)
    with sns.axes_style("whitegrid"), replacing(path) as partial:
        figure = Figure(figsize=(3.4 * columns, 2.9 * len(outcomes) + 0.5), layout="constrained")
        grid = figure.subplots(len(outcomes), columns, squeeze=False)
        for row, outcome in zip(grid, outcomes, strict=True):
            for axes, knob in zip(row, outcome.knobs, strict=False):
                _panel(axes, outcome, knob)
            for axes in row[len(outcome.knobs) :]:
                axes.remove()
            row[0].set_ylabel(f"{outcome.arm}\nvalidation accuracy %")
        figure.suptitle("One point for each trial; square: before the tuning; ring: chosen", fontsize=10)
        figure.savefig(partial, format="png", dpi=120, metadata={"Software": None})


def _section(outcome: Outcome) -> list[str]:
    """Return the table of an arm, and what must be said about it."""
    rows = []
    for trial in outcome.trials:
        score, words = outcome.score(trial), []
        spread = f" \u00b1 {100 * stdev(score.accuracy):.2f}" if len(score.accuracy) > 1 else ""
        words += ["before the tuning"] if trial.number == 0 else []
        words += ["chosen"] if trial is outcome.chosen else []
        rows.append(
            {
                "Trial": trial.number,
                **{key: _shown(value) for key, value in trial.settings.items()},
                "Validation accuracy %": f"{100 * score.mean:.2f}{spread}" if score.accuracy else "failed",
                "Validation loss": f"{score.mean_loss:.3f}" if score.accuracy else "",
                "": ", ".join(words),
            }
        )
    frame = pd.DataFrame(rows)
    align = ["right"] * (len(frame.columns) - 1) + ["left"]
    lines = ends(outcome.chosen, outcome.knobs)
    if outcome.failed:
        names = ", ".join(f"{trial.number} ({trial.cell.name})" for trial in outcome.failed)
        lines.append(f"{outcome.arm}: failed, and counted as the worst: trial {names}")
    return [
        f"## {outcome.arm}",
        frame.to_markdown(index=False, disable_numparse=True, colalign=align),
        *(["\n".join(f"- {line}." for line in lines)] if lines else []),
    ]


def _panel(axes: Axes, outcome: Outcome, knob: Knob) -> None:
    """Draw the scores against one setting."""
    done = [trial for trial in outcome.trials if outcome.score(trial).accuracy]
    x = [_shown(trial.settings[knob.key]) if knob.kind == CHOICES else trial.settings[knob.key] for trial in done]
    y = [100 * outcome.score(trial).mean for trial in done]
    if knob.kind == LOG:
        axes.set_xscale("log")
    places = [_shown(value) for value in knob.values] if knob.kind == CHOICES else knob.values
    axes.scatter(places, [y[0]] * len(places), alpha=0)  # the panel shows the whole range
    axes.margins(x=0.3 if knob.kind == CHOICES else 0.05)
    color = PALETTE[outcome.arm]
    for at, (trial, value, accuracy) in enumerate(zip(done, x, y, strict=True)):
        axes.scatter([value], [accuracy], color=color, marker="s" if trial.number == 0 else "o", s=22, zorder=at + 2)
        if trial is outcome.chosen:
            axes.scatter([value], [accuracy], facecolors="none", edgecolors="black", s=110, zorder=1)
    axes.set_xlabel(knob.key)


def _shown(value: object) -> str:
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
