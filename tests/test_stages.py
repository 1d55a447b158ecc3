"""Every stage in order, in one process, on small trees in the datasets' original layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fkt.errors import CorruptData, ParamsError
from fkt.params import Params, load_params, parse_params
from fkt.runs import FIGURES, PRETRAINED, Run
from tests import fakes
from tests.conftest import ROOT

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "prepare": {"image_size": 32, "channels": 3, "val_fraction": 0.25},
    "labels": {"per_class": 2, "fraction": None},
    "budget": {"passes": 6, "checks": 2},
    "model": {"backbone": "resnet10", "width": 16},
    "ssl": {"simclr": {"projector_hidden": 16, "projector_size": 8}},
    **{name: {"batch_size": 16} for name in ("pretrain", "finetune", "supervised", "joint")},
    "evaluate": {"knn_neighbors": 5, "linear_iterations": 10},
    "cam": {"images": 2, "candidates": 8},
    "report": {"bootstrap_samples": 100},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; what is no dictionary is replaced."""
    found = dict(base)
    for key, value in changes.items():
        found[key] = merged(base[key], value) if isinstance(value, dict) else value
    return found


@pytest.fixture
def write_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Params]:
    """Work in an empty folder, and write its params.yaml from the shipped one with small numbers and changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())

    def write(changes: dict[str, Any]) -> Params:
        content = merged(merged(shipped, SMALL), changes)
        Path("params.yaml").write_text(yaml.safe_dump(content))
        return load_params()

    return write


def run_stages(params: Params) -> None:
    """What dvc.yaml runs, in its order."""
    from stages import cam, evaluate, finetune, joint, prepare, pretrain, report, supervised, views

    prepare.main(params)
    views.main(params)
    for seed in params.seeds:
        for stage in (pretrain, finetune, supervised, joint):
            stage.main(seed, params)
    for mode in [*params.modes, PRETRAINED]:
        evaluate.main(mode, params)
        cam.main(mode, params.seeds[0], params)
    report.main(params)


@pytest.mark.parametrize("dataset", ["intel", "aptos"])
def test_the_whole_comparison_runs_on_a_tree_in_its_original_layout(
    dataset: str, write_params: Callable[[dict[str, Any]], Params], capsys: pytest.CaptureFixture[str]
) -> None:
    raw = Path("data/raw") / dataset
    if dataset == "intel":
        fakes.write_intel(raw)
        folder = raw / "seg_train" / "seg_train" / "forest"
        fakes.write_odd_files(folder)
        broken = fakes.write_broken_files(folder)
    else:
        fakes.write_aptos(raw)
        broken = ["0000broken00.png"]
        (raw / "train_images" / broken[0]).write_bytes(b"\x89PNG")
        with (raw / "train.csv").open("a") as file:
            file.write("0000broken00,2\n")
    params = write_params({"dataset": dataset})
    from stages import prepare

    with pytest.raises(CorruptData) as stopped:
        prepare.main(params)
    assert all(name in str(stopped.value) for name in broken)

    run_stages(write_params({"dataset": dataset, "prepare": {"on_corrupt": "skip"}}))
    summary = json.loads(Path("metrics/summary.json").read_text())
    meta = json.loads((Path("data") / dataset / "meta.json").read_text())
    assert set(params.modes) <= set(summary)
    for mode in params.modes:
        results = json.loads(Run(dataset, mode, 0).results.read_text())
        assert results["num_test"] == sum(meta["counts"]["test"])
        assert 0 <= summary[mode]["accuracy"] <= 1
    report = Path("metrics/report.md").read_text()
    assert all(mode in report for mode in params.modes)
    for name in ("views", "accuracy", "curves", "confusion", "maps"):
        assert (FIGURES / f"{name}.png").stat().st_size > 5000
    said = capsys.readouterr().out
    assert all(name in said for name in broken), "what was left out is named"


def test_the_arms_share_initialization_labels_and_budget(write_params: Callable[[dict[str, Any]], Params]) -> None:
    from fkt.training.session import open_session
    from stages import finetune, joint, prepare, pretrain, supervised

    params = write_params({"seeds": [0], "prepare": {"image_size": 16, "channels": 1}, "budget": {"passes": 1}})
    prepare.main(params)
    sessions = [open_session(params, mode, 0) for mode in params.modes]
    first = sessions[0]
    for session in sessions[1:]:
        assert session.labelled.equal(first.labelled)
        mine, other = session.fresh_backbone().state_dict(), first.fresh_backbone().state_dict()
        assert all(mine[name].equal(tensor) for name, tensor in other.items())
        assert session.keep == first.keep
    for stage in (pretrain, finetune, supervised, joint):
        stage.main(0, params)
    spent = {}
    for mode in (PRETRAINED, *params.modes):
        spent[mode] = json.loads((Run("digits", mode, 0).log / "cost.json").read_text())["image_passes"]
    budget = params.budget.passes * len(first.train)
    spent["representational"] += spent.pop(PRETRAINED)
    assert all(abs(passes - budget) <= 1.5 * 16 for passes in spent.values()), spent


def test_a_run_tells_its_epochs_and_the_step_that_it_kept(write_params: Callable[[dict[str, Any]], Params]) -> None:
    """An epoch is a pass over what the run learns from: all training images, or 20 labelled ones in batches of 10."""
    from stages import finetune, joint, prepare, pretrain, supervised

    epochs = {"pretrain": 0.5, "joint": 0.25, "finetune": 5.0, "supervised": 3.0}
    sections = {name: {"epochs": count, "batch_size": 10} for name, count in epochs.items()}
    params = write_params({"seeds": [0], "prepare": {"image_size": 16, "channels": 1}, **sections})
    prepare.main(params)
    stages = {PRETRAINED: pretrain, "representational": finetune, "functional": joint, "supervised": supervised}
    for mode, stage in stages.items():
        stage.main(0, params)
        run = Run("digits", mode, 0)
        cost = json.loads((run.log / "cost.json").read_text())
        assert cost["stage"] == run.stage
        assert cost["epochs"] == pytest.approx(epochs[run.stage], abs=0.01)
        assert cost["kept_step"] == json.loads((run.model / "card.json").read_text())["training"]["kept_step"]


def test_a_mistake_is_found_before_anything_trains(write_params: Callable[[dict[str, Any]], Params]) -> None:
    from stages import prepare, pretrain

    prepare.main(write_params({"prepare": {"image_size": 16, "channels": 1}}))
    params = write_params({"labels": {"per_class": 500}, "joint": {"batch_size": 4096}})
    with pytest.raises(ParamsError) as stopped:
        pretrain.main(0, params)
    assert "labels.per_class: 500" in str(stopped.value) and "joint.batch_size: 4096" in str(stopped.value)
    assert not Path("models").exists()


def test_pretraining_that_leaves_nothing_for_fine_tuning_is_found_before_it_starts(
    write_params: Callable[[dict[str, Any]], Params],
) -> None:
    from stages import prepare, pretrain

    params = write_params({"prepare": {"image_size": 16, "channels": 1}, "pretrain": {"epochs": 60}})
    prepare.main(params)
    with pytest.raises(ParamsError, match="leaves nothing to fine-tune with"):
        pretrain.main(0, params)
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("selection", "labels", "kept"),
    [
        ("auto", {"per_class": 2, "fraction": None}, "last"),
        ("auto", {"per_class": None, "fraction": None}, "validation"),
        ("validation", {"per_class": 2, "fraction": None}, "validation"),
    ],
)
def test_the_epoch_is_kept_as_the_labels_allow(
    selection: str, labels: dict[str, Any], kept: str, write_params: Callable[[dict[str, Any]], Params]
) -> None:
    from fkt.training.session import open_session
    from stages import prepare

    params = write_params({"prepare": {"image_size": 16, "channels": 1}, "selection": selection, "labels": labels})
    prepare.main(params)
    assert open_session(params, "supervised", 0).keep == kept


def test_the_shipped_params_are_what_the_small_ones_are_made_of() -> None:
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert parse_params(merged(shipped, SMALL)).seeds == [0, 1]
