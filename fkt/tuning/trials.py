"""The trials of each arm, what each has scored, and which one wins. Runs nothing."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from fkt.core.pipeline import code_digest
from fkt.core.runs import METRICS
from fkt.sweeps.experiments import params_of
from fkt.sweeps.spec import Cell, Settings
from fkt.tuning.knobs import Knob, sequence, stage_contents

RECORD = METRICS / "tables" / "tuning.json"
"""Scores of every trial that has ever finished, by the name of its experiment."""
FIRST_SEED = 1000


@dataclass(frozen=True)
class Score:
    """Validation scores of the weights that each seed kept; empty: the trial has failed."""

    accuracy: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean accuracy over seeds; -1 if the trial has failed, which is worse than any other."""
        return fmean(self.accuracy) if self.accuracy else -1.0

    @property
    def mean_loss(self) -> float:
        """Mean loss over seeds; infinite if it is not a number."""
        mean = fmean(self.loss) if self.loss else math.inf
        return math.inf if math.isnan(mean) else mean


@dataclass(frozen=True)
class Trial:
    """One setting of an arm's knobs."""

    arm: str
    number: int
    """0: the settings before the tuning."""
    settings: Settings
    """Of the arm's own knobs."""
    cell: Cell
    """Name of the experiment, and all that differs from params.yaml."""


def tuning_seeds(taken: Sequence[int], count: int) -> list[int]:
    """Return the first numbers from 1000 up that are not seeds of the comparison."""
    return [seed for seed in range(FIRST_SEED, FIRST_SEED + count + len(taken)) if seed not in taken][:count]


def trials_of(arm: str, knobs: Sequence[Knob], base: Settings, seeds: list[int], count: int, data: str) -> list[Trial]:
    """Return the trials of an arm over the parameters ``base``. Raise ParamsError if one is not valid.

    data: digest of the prepared images. Trials that must have the same scores have the same name.
    """
    trials = []
    for number, settings in enumerate([{knob.key: base[knob.key] for knob in knobs}, *sequence(knobs, count - 1)]):
        changes = {"modes": [arm], "seeds": seeds, **settings}
        params = params_of(Cell(f"{arm}, trial {number}", {}, changes), base)
        name = f"tune-{arm}-{_digest(arm, params, data)}"
        trials.append(Trial(arm, number, settings, Cell(name, {}, changes)))
    return trials


def winner(trials: Sequence[Trial], scores: Mapping[str, Score]) -> Trial:
    """Return the trial with the highest mean accuracy; ties: the lower loss, then the lower number."""
    return max(
        trials, key=lambda trial: (scores[trial.cell.name].mean, -scores[trial.cell.name].mean_loss, -trial.number)
    )


def ends(trial: Trial, knobs: Sequence[Knob]) -> list[str]:
    """Return a line for each knob of which a winner is at an end of its range."""
    found = [(knob, knob.end(trial.settings[knob.key])) for knob in knobs]
    return [
        f"{trial.arm}: {knob.key} {trial.settings[knob.key]} is at the {end} end of its range "
        f"[{', '.join(map(str, knob.values))}]; widen the range in tuning.yaml and tune again"
        for knob, end in found
        if end
    ]


def data_digest(dataset: str) -> str:
    """Return the checksum of the prepared images in dvc.lock, or an empty string if dvc.lock has no such entry."""
    path = Path("dvc.lock")
    if not path.is_file():
        return ""
    lock: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    stage = lock["stages"].get(f"prepare@{dataset}")
    return "" if stage is None else str(stage["outs"][0]["md5"])


def read_record() -> dict[str, Score]:
    """Return the scores of all recorded trials by name."""
    if not RECORD.is_file():
        return {}
    content: dict[str, dict[str, list[float]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return {name: Score(tuple(one["val_accuracy"]), tuple(one["val_loss"])) for name, one in content.items()}


def recorded(scores: Mapping[str, Score]) -> dict[str, dict[str, list[float]]]:
    """Return the content of the record."""
    return {
        name: {"val_accuracy": list(one.accuracy), "val_loss": list(one.loss)} for name, one in sorted(scores.items())
    }


def _digest(arm: str, params: Settings, data: str) -> str:
    """Return a short checksum of all that a trial's scores depend on: parameters, seeds, images and code."""
    contents = stage_contents(arm, params)
    prepare = {key: value for key, value in params.items() if key.startswith("prepare.")}
    parts = [params["seeds"], data, prepare, contents, {stage: code_digest(stage) for stage in contents}]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
