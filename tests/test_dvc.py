"""The pipeline files against the code: stages, paths and parameters agree."""

from __future__ import annotations

import importlib
from typing import get_args

import pytest
import yaml

from fkt.core.runs import (
    MADE_OF,
    PRETRAINED,
    STUDENT,
    TEACHER,
    TRAINED_BY,
    Run,
    maps_path,
    prepared_path,
    transfer_path,
)
from fkt.params import Mode, load_params
from fkt.report.summary import ORDER
from tests.conftest import ROOT
from tests.imports import stage_definitions, stage_module

STAGES = stage_definitions()
TRAINING = {stage: name for name, stage in TRAINED_BY.items()}


def listed(names: list[object]) -> set[str]:
    """Outputs or plots as paths; an entry with options is a mapping of one key."""
    return {next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in names}


def test_a_mode_is_known_to_params_to_runs_and_to_the_report() -> None:
    modes = set(get_args(Mode))
    assert modes == {*ORDER, PRETRAINED} == set(MADE_OF)
    assert {name for parts in MADE_OF.values() for name in parts} == set(TRAINED_BY)


def test_training_stages_are_apart_so_that_dvc_repro_runs_those_that_modes_need() -> None:
    def stages(name: str) -> dict[str, dict[str, object]]:
        content = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["stages"]
        assert isinstance(content, dict)
        return content

    trainers = stages("stages/dvc.yaml")
    assert set(trainers) == set(TRAINING)
    assert all(stage["wdir"] == ".." for stage in trainers.values())
    asked = [dep for name, stage in stages("dvc.yaml").items() if name != "evaluate-transfer" for dep in stage["deps"]]
    for dep in asked:
        if dep.startswith(("models", "metrics/logs")):
            assert "${item.mode}" in dep, f"{dep} would have every mode trained"


def test_each_stage_is_a_file_of_its_name() -> None:
    modules = {stage_module(stage).removeprefix("stages.") for stage in STAGES.values()}
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert modules == files
    for name, stage in STAGES.items():
        assert name.split("-")[0] == stage_module(stage).removeprefix("stages.")


@pytest.mark.parametrize("stage", sorted(TRAINING))
def test_a_training_stage_writes_where_runs_are_kept(stage: str) -> None:
    run = Run("", TRAINING[stage], 7)
    expected = {str(path).replace("s7", "s${item.seed}") for path in (run.model, *run.log_folders)}
    assert listed(STAGES[stage]["outs"]) == expected
    assert STAGES[stage]["matrix"] == {"seed": "${seeds}"}
    assert str(prepared_path("${dataset}")) in listed(STAGES[stage]["deps"])


@pytest.mark.parametrize("stage", sorted(TRAINING))
def test_a_training_stage_depends_on_the_params_that_its_fingerprint_holds(stage: str) -> None:
    module = importlib.import_module(stage_module(STAGES[stage]))
    sections = module.TEACHER_SECTIONS if TRAINING[stage] == TEACHER else module.SECTIONS
    assert set(sections) == set(STAGES[stage]["params"])
    assert sections[-1] == Run("", TRAINING[stage], 0).section


@pytest.mark.parametrize(
    ("stage", "start"),
    [
        ("finetune", PRETRAINED),
        ("frozen", PRETRAINED),
        ("distill", TEACHER),
        ("finetune-distilled", STUDENT),
    ],
)
def test_a_stage_starts_from_the_backbone_of_its_seed(stage: str, start: str) -> None:
    model = Run("digits", start, 7).model
    assert str(model).replace("s7", "s${item.seed}") in listed(STAGES[stage]["deps"])
    if stage != "distill":
        assert Run("digits", TRAINING[stage], 7).start == model


def test_evaluation_and_maps_are_where_the_report_looks() -> None:
    run = Run("", "${item.mode}", 0)
    assert {str(run.model.parent), str(run.logs.parent)} <= listed(STAGES["evaluate"]["deps"])
    assert listed(STAGES["evaluate"]["outs"]) == {str(run.results.parent)}
    assert listed(STAGES["cam"]["outs"]) == {str(maps_path("${item.mode}"))}
    assert {str(run.results.parents[1]), str(maps_path("x").parent)} <= listed(STAGES["report"]["deps"])


def test_transfer_goes_from_the_prepared_dataset_and_the_pretrained_backbone_to_the_report() -> None:
    prepared, evaluated = STAGES["prepare-transfer"], STAGES["evaluate-transfer"]
    assert prepared["matrix"] == evaluated["matrix"] == {"dataset": "${transfer.datasets}"}
    assert listed(prepared["outs"]) == {str(prepared_path("${item.dataset}"))} <= listed(evaluated["deps"])
    assert str(Run("", PRETRAINED, 0).model.parent) in listed(evaluated["deps"])
    assert listed(evaluated["outs"]) == {str(transfer_path("${item.dataset}", 0).parent)}
    assert "metrics/runs" in listed(STAGES["report"]["deps"]) and "transfer" in listed(STAGES["report"]["params"])


def test_lambda_reaches_the_joint_runs_and_the_report_alone() -> None:
    assert {name for name, stage in STAGES.items() if "lambda" in listed(stage["params"])} == {"joint", "report"}


def test_training_outputs_are_plain_and_cached_so_that_dvc_can_bring_them_back() -> None:
    for name in set(STAGES) - {"views", "report"}:  # these write files that git keeps
        assert all(isinstance(out, str) for out in STAGES[name]["outs"])


def test_every_parameter_matters_to_some_stage() -> None:
    """A key that no stage lists could be edited without any effect."""
    params = load_params(ROOT / "params.yaml")
    names = {str(name) for stage in STAGES.values() for name in stage["params"]}
    for section, value in params.model_dump(by_alias=True).items():
        for key in value if isinstance(value, dict) and section not in names else ():
            shown = "${ssl.method}" if section == "ssl" and key in params.ssl.sections else key
            assert any(name == f"{section}.{shown}" for name in names), f"{section}.{key} is listed by no stage"
        assert isinstance(value, dict) or section in names, f"{section} is listed by no stage"


def test_every_output_that_git_does_not_keep_is_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            if isinstance(out, str):
                assert any(out.startswith(pattern.strip("/")) for pattern in ignored), out
