"""The plan: what each training depends on, and no training that it does not describe."""

import json
import re
from pathlib import Path

import pytest

from fkt.core.errors import UserError
from fkt.core.pipeline import code_digest
from fkt.core.runs import Run, is_skipped, plan_path
from fkt.params import Params
from fkt.training.command import check_plan
from stages import plan
from tests.stages.running import Write


def planned(params: Params) -> dict[str, str]:
    """The text of each file of the plan."""
    plan.main(params)
    return {path.name: path.read_text() for path in Path("data/plan").iterdir()}


def changed(before: dict[str, str], params: Params) -> set[str]:
    return {name for name, text in planned(params).items() if text != before[name]}


def test_a_file_has_the_values_and_the_code_of_a_training_or_skip(write_params: Write) -> None:
    params = write_params({"modes": ["representational", "functional"]})
    plan.main(params)
    joint = json.loads(plan_path("functional").read_text())
    assert joint["params"]["lambda"] == 1.0 and joint["code"] == code_digest("joint")
    assert joint["params"]["ssl.simclr"]["projector_hidden"] == 16 and "finetune" not in joint["params"]
    assert not is_skipped("pretrained"), "representational starts from it"
    assert plan_path("supervised").read_text() == "skip\n" and is_skipped("supervised")


def test_an_edit_changes_the_files_of_the_trainings_that_depend_on_it_alone(write_params: Write) -> None:
    modes = {"modes": ["supervised", "representational", "functional"]}
    before = planned(write_params(modes))
    assert changed(before, write_params({**modes, "lambda": 0.5})) == {"functional"}
    assert changed(before, write_params({**modes, "finetune": {"learning_rate": 0.5}})) == {"representational"}
    assert changed(before, write_params({**modes, "pretrain": {"learning_rate": 0.5}})) == {"pretrained"}
    assert changed(before, write_params({**modes, "seeds": [5, 6, 7]})) == set()
    assert changed(before, write_params({**modes, "frozen": {"learning_rate": 0.5}})) == set(), "it is skipped"
    assert changed(before, write_params({"modes": [*modes["modes"], "frozen"]})) == {"frozen"}


def test_a_training_that_the_plan_does_not_describe_is_refused(
    write_params: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run("digits", "functional", 0)
    params = write_params({"modes": ["functional"]})
    check_plan(run, params)  # without a plan, as outside of DVC
    plan.main(params)
    check_plan(run, params)
    check_plan(run, write_params({"modes": ["functional"], "finetune": {"batch_size": 8}}))
    for changes, names in (({"lambda": 0.5}, "lambda"), ({"ssl": {"method": "byol"}}, "ssl.method, .*ssl.byol")):
        message = (
            f"{names} has changed since {re.escape(str(plan_path('functional')))} was written; run 'dvc repro' again"
        )
        with pytest.raises(UserError, match=message):
            check_plan(run, write_params(changes))
    monkeypatch.setattr("fkt.core.pipeline.code_digest", lambda stage: "an edit")
    with pytest.raises(UserError, match="the code has changed since"):
        check_plan(run, params)
