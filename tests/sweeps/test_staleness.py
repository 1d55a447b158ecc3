"""Results that other parameters made than the experiment's, by what DVC recorded of its stages."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fkt.params.reader import read_yaml
from fkt.presets import flat
from fkt.sweeps.experiments import Experiment
from fkt.sweeps.staleness import staleness
from tests.conftest import ROOT

Locks = dict[str, dict[str, Any]]
PIPELINE = TRAINING = "dvc.lock"


def run(**changes: Any) -> tuple[dict[str, Any], Locks]:
    """An experiment that ran as a whole, with what each stage that dvc.yaml names for it read of params.yaml."""
    params = dict(flat(read_yaml(ROOT / "params.yaml")))
    params |= {"modes": ["supervised", "representational"], "seeds": [0, 5]} | changes

    def stage(*keys: str) -> dict[str, Any]:
        return {"cmd": "python", "params": {"params.yaml": {key: copy.deepcopy(params[key]) for key in keys}}}

    pipeline = {"prepare@digits": stage("dataset", "prepare.image_size"), "report": stage("lambda", "modes", "seeds")}
    pipeline |= {f"{name}@{mode}": stage("dataset") for name in ("evaluate", "cam") for mode in params["modes"]}
    names = [f"{name}@{seed}" for name in ("pretrain", "supervised", "finetune") for seed in params["seeds"]]
    training = {name: stage("model.width", "budget.passes", "labels.fraction") for name in names}
    return params, {PIPELINE: {"stages": pipeline | training}}


def judged(params: dict[str, Any], locks: Locks) -> str:
    texts = {Path(name): yaml.safe_dump(lock) for name, lock in locks.items()}
    return staleness(Experiment("x", "2026", None, params, {}, texts.get))


def test_an_experiment_that_ran_as_a_whole_is_not_stale() -> None:
    assert judged(*run()) == ""
    assert judged(run()[0], {}) == "", "a folder may come without DVC's records"


@pytest.mark.parametrize(
    ("lock", "stage", "key", "value", "told"),
    [
        (PIPELINE, "report", "lambda", 0.5, "metrics/summary.json was made with lambda: 0.5, and .* says 1.0"),
        (PIPELINE, "prepare@digits", "prepare.image_size", 8, "stage prepare@digits ran with prepare.image_size: 8"),
        (PIPELINE, "cam@supervised", "dataset", "cifar10", "stage cam@supervised ran with dataset: cifar10"),
        (TRAINING, "pretrain@5", "model.width", 8, "stage pretrain@5 ran with model.width: 8, and .* says 16; run it"),
        (
            TRAINING,
            "finetune@0",
            "labels.fraction",
            0.1,
            "stage finetune@0 ran with labels.fraction: 0.1, .* says None",
        ),
    ],
)
def test_a_stage_that_ran_with_other_parameters_makes_its_experiment_stale(
    lock: str, stage: str, key: str, value: object, told: str
) -> None:
    params, locks = run()
    locks[lock]["stages"][stage]["params"]["params.yaml"][key] = value
    assert re.match(f"its {told}", judged(params, locks))


@pytest.mark.parametrize(
    ("lock", "stage"),
    [
        (TRAINING, "pretrain@7"), (TRAINING, "joint@0"), (TRAINING, "distill@5"), (PIPELINE, "evaluate@functional"),
        (PIPELINE, "prepare@cifar10"), (PIPELINE, "prepare-transfer@mnist"), (PIPELINE, "views"),
    ],
)  # fmt: skip
def test_what_other_experiments_left_in_the_records_is_no_part_of_this_one(lock: str, stage: str) -> None:
    params, locks = run()
    locks[lock]["stages"][stage] = {"params": {"params.yaml": {"budget.passes": 7, "dataset": "stl10"}}}
    assert judged(params, locks) == ""


def test_the_stages_of_features_probed_elsewhere_are_a_part() -> None:
    old = {"params": {"params.yaml": {"budget.passes": 7}}}
    for lock, stage in ((PIPELINE, "evaluate-transfer@mnist"), (TRAINING, "pretrain@0")):
        params, locks = run(**{"modes": ["supervised"], "transfer.datasets": ["mnist"]})
        locks[lock]["stages"][stage] = old
        assert judged(params, locks).startswith(f"its stage {stage} ran with budget.passes: 7")
        assert judged(params | {"transfer.datasets": []}, locks) == ""
