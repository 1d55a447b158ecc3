"""One number of one mode of an experiment, with its spread over seeds. Rounds nothing."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fkt.core.runs import METRICS as FOLDER
from fkt.sweeps.experiments import Experiment
from fkt.sweeps.metrics import FROM_COSTS

COSTS = FOLDER / "costs.csv"


@dataclass(frozen=True)
class Value:
    """A number as it is stored, over seeds."""

    mean: float
    std: float | None = None
    """Sample standard deviation (ddof=1); None where there is none, as for a single seed."""
    count: int | None = None
    """Seeds."""
    low: float | None = None
    """Ends of an interval, where the number comes with one."""
    high: float | None = None


def value_of(experiment: Experiment, mode: str, metric: str) -> Value | None:
    """Return a metric of a mode, or None where the experiment has no such number."""
    if metric in FROM_COSTS:
        return _cost(experiment.read, mode, metric)
    section = experiment.sections.get(mode, {})
    if metric not in section:
        return None
    count = section.get("seeds")
    low, high = (section.get(end) if metric == "difference" else None for end in ("low", "high"))
    return Value(section[metric], section.get(f"{metric}_std"), None if count is None else int(count), low, high)


def _cost(read: Callable[[Path], str | None], mode: str, metric: str) -> Value | None:
    """Add up the training runs of each seed of a mode, and return the mean over seeds."""
    text = read(COSTS)
    parts: dict[str, list[float]] = {}
    for row in csv.DictReader(io.StringIO(text or "")):
        if row["mode"] == mode and row.get(metric):
            parts.setdefault(row["seed"], []).append(float(row[metric]))
    totals = [math.fsum(part) for part in parts.values()]
    if not totals:
        return None
    return Value(statistics.fmean(totals), statistics.stdev(totals) if len(totals) > 1 else None, len(totals))
