"""Every stage in order, in one process, on small trees in the datasets' original layouts."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fkt.core.arms import MODES, PRETRAINED, STUDENT, TEACHER
from fkt.core.errors import CorruptData, ParamsError
from fkt.core.runs import FIGURES, Run
from fkt.data.meta import load_meta, write_meta
from fkt.models.checkpoint import load_backbone
from fkt.models.flops import forward_flops
from fkt.params import Params
from fkt.training.session import open_session
from fkt.views.object_crops import ObjectCrops
from stages import prepare, views
from tests import fakes
from tests.stages.running import Write, cost_of, run_stages, train, train_one

ALL = [mode for mode in MODES if mode != "imagenet"]  # which needs a wider network
PIXELS = torch.zeros(1, 1, 16, 16)


@pytest.mark.parametrize("dataset", ["intel", "aptos"])
def test_the_whole_comparison_runs_on_a_tree_in_its_original_layout(
    dataset: str, write_params: Write, capsys: pytest.CaptureFixture[str]
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
    color = {"image_size": 32, "channels": 3}
    params = write_params({"dataset": dataset, "prepare": color})
    with pytest.raises(CorruptData) as stopped:
        prepare.main(params)
    assert all(name in str(stopped.value) for name in broken)

    run_stages(write_params({"dataset": dataset, "prepare": color | {"on_corrupt": "skip"}}))
    summary = json.loads(Path("metrics/summary.json").read_text())
    meta = json.loads((Path("data") / dataset / "meta.json").read_text())
    assert set(params.modes) <= set(summary)
    for mode in params.arms:
        results = json.loads(Run(dataset, mode, 0).results.read_text())
        assert results["num_test"] == sum(meta["counts"]["test"])
        assert 0 <= summary[mode]["accuracy"] <= 1
    report = Path("metrics/report.md").read_text()
    assert all(mode in report for mode in params.arms)
    for name in ("views", "maps"):
        assert (FIGURES / f"{name}.png").stat().st_size > 5000
    said = capsys.readouterr().out
    assert all(name in said for name in broken), "what was left out is named"


def test_the_arms_share_initialization_labels_and_selection(prepared: Write) -> None:
    params = prepared({"modes": ALL})
    first = open_session(params, Run("digits", "supervised", 0))
    for mode in (*params.arms, STUDENT):
        session = open_session(params, Run("digits", mode, 0))
        assert session.labelled.equal(first.labelled)
        mine, other = session.fresh_backbone().state_dict(), first.fresh_backbone().state_dict()
        assert all(mine[name].equal(tensor) for name, tensor in other.items())
        assert session.keep == first.keep
    same = params.model_copy(update={"distill": params.distill.model_copy(update={"teacher": "resnet10"})})
    teacher = open_session(same, Run("digits", TEACHER, 0)).fresh_backbone().state_dict()
    assert teacher.keys() == first.fresh_backbone().state_dict().keys()
    assert not teacher["conv1.weight"].equal(first.fresh_backbone().state_dict()["conv1.weight"]), "a start of its own"


def test_all_modes_are_trained_on_the_same_budget_and_reported(
    write_params: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    params = write_params({"modes": ALL, "prepare": {"limit_per_class": 20}, "budget": {"passes": 9}})
    run_stages(params)
    meta = json.loads(Path("data/digits/meta.json").read_text())
    num_train = sum(meta["counts"]["train"])
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert set(ALL) < set(summary) and len(summary) == len(ALL) + 1 + 10, "every two of five arms are compared"
    for mode in params.arms:
        assert summary[mode]["image_passes"] == pytest.approx(params.budget.passes * num_train, abs=1.5 * 16), mode

    run = Run("digits", "distilled", 0)
    costs = {part.name: cost_of(part) for part in run.parts}
    assert summary["distilled"]["gflops"] == pytest.approx(_total("distilled", params), rel=1e-6)
    models = {name: load_backbone(Run("digits", name, 0).model)[0] for name in (TEACHER, STUDENT)}
    forward = {name: forward_flops(model, PIXELS) for name, model in models.items()}
    assert forward[TEACHER] > 1.5 * forward[STUDENT]
    assert costs[TEACHER]["flops"] == 3 * forward[TEACHER] * costs[TEACHER]["image_passes"]
    labelling = forward[TEACHER] * num_train
    assert costs[STUDENT]["flops"] == 3 * forward[STUDENT] * costs[STUDENT]["image_passes"] + labelling
    frozen = cost_of(Run("digits", "frozen", 0))
    assert frozen["flops"] == forward[STUDENT] * frozen["image_passes"], "forward alone"

    backbones = [Run("digits", name, 0).model for name in (PRETRAINED, "frozen", STUDENT)]
    before, after, student = (load_file(folder / "weights.safetensors") for folder in backbones)
    assert all(after[f"backbone.{name}"].equal(tensor) for name, tensor in before.items()), "not one bit has moved"
    assert not any(name.startswith("head") for name in student) and student.keys() == before.keys()
    page = Path("metrics/report.md").read_text()
    assert "- **Teacher**: resnet18 with 16 channels. Its features of the training images form 6 clusters" in page
    stages = r"distilled: pretrain-teacher [23]\.\d passes .+, distill [23]\.\d .+, finetune-distilled [23]\.\d "
    assert re.search(stages, Path("metrics/report.html").read_text())
    assert (FIGURES / "maps.png").stat().st_size > 5000
    assert "6 clusters of " in capsys.readouterr().out


def _total(mode: str, params: Params) -> float:
    """GFLOPs of an arm, mean over seeds."""
    runs = [Run(params.dataset, mode, seed) for seed in params.seeds]
    return float(sum(cost_of(part)["flops"] for run in runs for part in run.parts)) / len(runs) / 1e9


def test_no_backbone_that_precedes_the_labels_depends_on_them(prepared: Write) -> None:
    small = {"prepare": {"limit_per_class": 10}, "budget": {"passes": 3}}
    params = prepared(small | {"modes": ["frozen", "distilled"]})
    found = []
    for shift in (0, 3):
        labels = np.load("data/digits/labels.npy")
        np.save("data/digits/labels.npy", (labels + shift) % 10)
        write_meta(Path("data/digits"), replace(load_meta(Path("data/digits")), checksums={}))
        shutil.rmtree(".ckpt", ignore_errors=True)  # the prepared data are edited behind the fingerprint's back
        train(params, 0)
        names = (PRETRAINED, TEACHER, STUDENT)
        found.append([(Run("digits", name, 0).model / "weights.safetensors").read_bytes() for name in names])
    assert found[0] == found[1]


def test_a_run_tells_its_epochs_and_the_step_that_it_kept(prepared: Write) -> None:
    """An epoch is a pass over what the run learns from: all training images, or 20 labelled ones in batches of 10."""
    epochs = {"pretrain": 0.5, "joint": 0.25, "finetune": 5.0, "supervised": 3.0}
    sections = {name: {"epochs": count, "batch_size": 10} for name, count in epochs.items()}
    params = prepared(sections)
    for mode in (PRETRAINED, "representational", "functional", "supervised"):
        train_one(mode, 0, params)
        run = Run("digits", mode, 0)
        cost = cost_of(run)
        assert cost["stage"] == run.network.stage
        assert cost["epochs"] == pytest.approx(epochs[run.network.stage], abs=0.01)
        assert cost["kept_step"] == json.loads((run.model / "card.json").read_text())["training"]["kept_step"]


def test_crops_are_chosen_by_the_masks_of_prepare_in_the_stages_that_have_ssl_views(
    prepared: Write, write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"budget": {"passes": 0.5, "checks": 1}}
    choosing = small | {
        "prepare": {"masks": "saliency"},
        "augment": {"object_share": 0.5, "good_crops": 0.5},
        "joint": {"ce_on": "views"},
    }
    prepared(small)
    params = write_params(choosing)
    for name in (PRETRAINED, "functional"):
        with pytest.raises(ParamsError, match="data/digits was prepared without masks; set prepare.masks: saliency or"):
            train_one(name, 0, params)
    with pytest.raises(ParamsError, match="was prepared without masks"):
        views.main(params)
    prepare.main(params)
    views.main(params)
    assert "% contain 0.5 of the object in the first draw" in capsys.readouterr().out
    selected: list[float] = []
    choose = ObjectCrops.choose

    def watched(self: ObjectCrops, crop: Any, drawn: Any, index: torch.Tensor, generator: Any) -> torch.Tensor:
        selected.append(self.selected[index].double().mean().item())
        return choose(self, crop, drawn, index, generator)

    monkeypatch.setattr(ObjectCrops, "choose", watched)
    for name in (PRETRAINED, "functional", "representational", "supervised"):
        selected.clear()
        train_one(name, 0, params)
        if name in (PRETRAINED, "functional"):
            assert 0.4 < sum(selected) / len(selected) < 0.6, "half of the images are selected"
        else:
            assert not selected


@pytest.mark.parametrize(
    ("selection", "labels", "kept"),
    [
        ("auto", {"per_class": 2, "fraction": None}, "last"),
        ("auto", {"per_class": None, "fraction": None}, "validation"),
        ("validation", {"per_class": 2, "fraction": None}, "validation"),
    ],
)
def test_the_epoch_is_kept_as_the_labels_allow(
    selection: str, labels: dict[str, Any], kept: str, prepared: Write
) -> None:
    params = prepared({"selection": selection, "labels": labels})
    assert open_session(params, Run("digits", "supervised", 0)).keep == kept
