"""dvc.yaml against the code: stages, paths and parameters agree."""

from typing import Any

import pytest
import yaml

from fkt.core.arms import MODES, NETWORKS, PRETRAINED, chain
from fkt.core.runs import (
    LOGS,
    RESULTS,
    Run,
    listing_path,
    maps_path,
    plan_path,
    prepared_path,
    transfer_listing_path,
    transfer_path,
    transfer_prepared_path,
)
from fkt.params import load_params
from fkt.params.methods import SECTIONS
from tests.conftest import ROOT
from tests.imports import stage_definitions, stage_module

STAGES = stage_definitions()
TRAINING = {network.stage: network for network in NETWORKS.values()}


def listed(names: list[object]) -> set[str]:
    """Outputs or plots as paths; an entry with options is a mapping of one key."""
    return {next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in names}


def parameters(stage: dict[str, Any]) -> set[str]:
    """What a stage depends on in params.yaml. A training stage has it in meta; the plan depends on the file."""
    return listed(stage["meta"]["params"] if "meta" in stage else stage.get("params", []))


def test_each_stage_is_a_file_of_its_name_and_trains_with_its_section() -> None:
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert {stage_module(stage).removeprefix("stages.") for stage in STAGES.values()} == files
    for name, stage in STAGES.items():
        assert name.split("-")[0] == stage_module(stage).removeprefix("stages.")
    assert {network.section for network in NETWORKS.values()} <= set(load_params(ROOT / "params.yaml").model_dump())


@pytest.mark.parametrize("stage", sorted(TRAINING))
def test_a_training_stage_follows_from_its_row_in_the_table_of_networks(stage: str) -> None:
    network, block = TRAINING[stage], STAGES[stage]
    run = Run("${dataset}", network.name, 7)

    def templated(path: object) -> str:
        return str(path).replace("s7", "s${item.seed}")

    assert block["cmd"] == f"python -m stages.{network.section} {network.name}"
    assert block["matrix"] == {"seed": "${seeds}"}
    assert listed(block["outs"]) == {templated(run.model), templated(run.log)}
    starts = {templated(part.model) for part in run.parts[-2:-1]}
    assert listed(block["deps"]) == {str(plan_path(network.name)), str(run.prepared)} | starts
    assert network.section in parameters(block) and "params" not in block, "the plan has the parameters"


def test_no_value_of_params_reaches_a_shell() -> None:
    assert not [stage["cmd"] for stage in STAGES.values() if "${" in stage["cmd"]]


def test_only_training_stages_have_a_meta() -> None:
    assert {name for name, stage in STAGES.items() if "meta" in stage} == set(TRAINING)


def test_every_stage_waits_for_the_plan_so_that_a_mistake_in_params_stops_them_all() -> None:
    prepared = {str(prepared_path("${dataset}")), str(transfer_prepared_path("${item.dataset}"))}
    for name, stage in STAGES.items():
        deps = listed(stage["deps"])
        assert name == "plan" or any(dep.startswith("data/plan/") for dep in deps) or deps & prepared, name
    assert "params.yaml" in STAGES["plan"]["deps"] and STAGES["plan"]["outs"] == ["data/plan"]


def test_evaluation_and_maps_are_where_the_report_looks() -> None:
    run = Run("", "${item.mode}", 0)
    assert str(run.model.parent) in listed(STAGES["evaluate"]["deps"]) & listed(STAGES["cam"]["deps"])
    assert listed(STAGES["evaluate"]["outs"]) == {str(run.results.parent)}
    assert listed(STAGES["cam"]["outs"]) == {str(maps_path("${item.mode}"))}
    assert {str(RESULTS), str(LOGS), str(maps_path("x").parent)} <= listed(STAGES["report"]["deps"])


def test_preparation_depends_on_the_listing_of_the_raw_files_which_is_made_anew_each_time() -> None:
    for suffix, path in (("", listing_path), ("-transfer", transfer_listing_path)):
        listing = str(path("${item.dataset}"))
        assert STAGES[f"raw{suffix}"]["always_changed"] and listing in listed(STAGES[f"prepare{suffix}"]["deps"])
        # git keeps it and DVC does not remove it: the raw files may be elsewhere
        assert STAGES[f"raw{suffix}"]["outs"] == [{listing: {"cache": False, "persist": True}}]


def test_transfer_goes_from_the_prepared_dataset_and_the_pretrained_backbone_to_the_report() -> None:
    prepared, evaluated = STAGES["prepare-transfer"], STAGES["evaluate-transfer"]
    assert prepared["matrix"] == evaluated["matrix"] == {"dataset": "${transfer.datasets}"}
    assert listed(prepared["outs"]) == {str(transfer_prepared_path("${item.dataset}"))} <= listed(evaluated["deps"])
    assert str(Run("", PRETRAINED, 0).model.parent) in listed(evaluated["deps"])
    assert listed(evaluated["outs"]) == {str(transfer_path("${item.dataset}", 0).parent)}
    assert "transfer" in listed(STAGES["report"]["params"])


def test_lambda_reaches_the_joint_runs_and_the_report_alone() -> None:
    assert {name for name, stage in STAGES.items() if "lambda" in parameters(stage)} == {"joint", "report"}


def test_training_outputs_are_plain_and_cached_so_that_dvc_can_bring_them_back() -> None:
    for name in set(STAGES) - {"raw", "raw-transfer", "views", "report"}:  # these write files that git keeps
        assert all(isinstance(out, str) for out in STAGES[name]["outs"])


def test_every_parameter_matters_to_some_stage() -> None:
    """A key that no stage lists could be edited without any effect. The plan lists them all and does not count."""
    params = load_params(ROOT / "params.yaml")
    names = {name for key, stage in STAGES.items() if key != "plan" for name in parameters(stage)}
    for section, value in params.model_dump(by_alias=True).items():
        for key in value if isinstance(value, dict) and section not in names else ():
            shown = "${ssl.method}" if section == "ssl" and key in SECTIONS else key
            assert any(name == f"{section}.{shown}" for name in names), f"{section}.{key} is listed by no stage"
        assert isinstance(value, dict) or section in names, f"{section} is listed by no stage"


def test_every_output_that_git_does_not_keep_is_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            if isinstance(out, str):
                assert any(out.startswith(pattern.strip("/*")) for pattern in ignored), out


def test_each_mode_is_an_artifact_with_the_description_of_its_network() -> None:
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    assert set(artifacts) == set(MODES)
    for mode, artifact in artifacts.items():
        assert artifact["path"] == str(Run("", mode, 7).model).replace("7", "${seeds[0]}")
        assert (artifact["type"], " ".join(artifact["desc"].split())) == ("model", NETWORKS[mode].about)
        assert artifact["labels"] == ["classifier" if NETWORKS[mode].is_arm else "backbone"]


def test_the_chain_of_a_network_ends_in_it_and_starts_from_nothing() -> None:
    for name in NETWORKS:
        networks = chain(name)
        assert networks[-1].name == name and networks[0].start is None
        assert all(after.start == before.name for before, after in zip(networks, networks[1:], strict=False))
