"""Whether an experiment's results were made with its parameters: what DVC recorded of the stages that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fkt.core.arms import NETWORKS, PRETRAINED, chain
from fkt.params import PARAMS_FILE
from fkt.sweeps.equality import same
from fkt.sweeps.experiments import Experiment

LOCK = Path("dvc.lock")
REPORT = "report"


def staleness(experiment: Experiment) -> str:
    """Say what is wrong if a stage behind metrics/summary.json ran with other parameters than the experiment's.

    An experiment that was run up to another stage than ``report`` keeps the summary that it started with. What was
    recorded of other datasets, modes and seeds is left over from other experiments, and is no part of this one.
    """
    text = experiment.read(LOCK)
    recorded: dict[str, Any] = (yaml.load(text, Loader=yaml.CSafeLoader) if text else {}).get("stages") or {}
    for stage in _stages(experiment.params):
        ran_with = ((recorded.get(stage) or {}).get("params") or {}).get(PARAMS_FILE.as_posix()) or {}
        for key, value in ran_with.items():
            now = _at(experiment.params, key)
            if not same(now, value):
                what = "metrics/summary.json was made" if stage == REPORT else f"stage {stage} ran"
                return (
                    f"its {what} with {key}: {value}, and its params.yaml says {now}; "
                    f"run it as far as the stage {REPORT}"
                )
    return ""


def _stages(params: Mapping[str, Any]) -> Iterator[str]:
    """Names, as DVC records them, of the stages that the report of an experiment needs."""
    modes, transfers = params.get("modes") or [], params.get("transfer.datasets") or []
    yield REPORT
    yield f"prepare@{params.get('dataset')}"
    for mode in modes:
        yield from (f"evaluate@{mode}", f"cam@{mode}")
    for dataset in transfers:
        yield from (f"prepare-transfer@{dataset}", f"evaluate-transfer@{dataset}")
    needed = [mode for mode in [*modes, *([PRETRAINED] if transfers else [])] if mode in NETWORKS]
    stages = {network.stage for mode in needed for network in chain(mode)}
    yield from (f"{stage}@{seed}" for stage in sorted(stages) for seed in params.get("seeds") or [])


def _at(params: Mapping[str, Any], key: str) -> object:
    """Return the value of a key of params.yaml, or the section of that name."""
    if key in params:
        return params[key]
    section: dict[str, Any] = {}
    for name, value in params.items():
        if name.startswith(f"{key}."):
            inner = section
            *path, last = name.removeprefix(f"{key}.").split(".")
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return section
