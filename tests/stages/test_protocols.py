"""Units of the budget, new statistics of BatchNorm, joint.images: same, and the arm imagenet, through the stages."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import resnet18

from fkt.core.arms import MODES, PRETRAINED
from fkt.core.errors import CheckpointError
from fkt.core.runs import Run
from fkt.data.normalize import normalize
from fkt.data.store import load_split
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import load_model
from fkt.models.imagenet import load_imagenet
from fkt.params import Model
from tests.stages.running import Write, cost_of, run_stages, train, train_one

DIGITS: dict[str, Any] = {"seeds": [0], "prepare": {"limit_per_class": 20}}
ALL = [mode for mode in MODES if mode != "imagenet"]
NETWORK = {"backbone": "resnet18", "width": 64, "stem": "imagenet", "weights": "none"}


def test_the_arms_spend_the_same_unit(prepared: Write, write_params: Write) -> None:
    small = DIGITS | {"modes": ALL, "ssl": {"method": "byol"}, "joint": {"images": "same"}, "labels": {"per_class": 4}}
    small["prepare"] = {"limit_per_class": 12}
    prepared(small)
    found: dict[str, list[tuple[str, float, list[dict[str, Any]]]]] = {}
    for unit in ("flops", "labelled_steps", "epochs"):
        params = write_params(small | {"budget": {"unit": unit, "epochs": 6 if unit == "epochs" else None}})
        train(params, 0)
        for mode in params.arms:
            costs = [cost_of(part) for part in Run("digits", mode, 0).parts]
            assert {one["budget"] for one in costs} == {unit}
            found.setdefault(unit, []).append((mode, sum(one["flops"] for one in costs), costs))
    flops = {mode: spent for mode, spent, _ in found["flops"]}
    step = {mode: costs[-1]["flops"] / costs[-1]["steps"] for mode, _, costs in found["flops"]}
    for mode, spent in flops.items():
        assert abs(spent - flops["supervised"]) <= (step[mode] + step["supervised"]) / 2, mode
    assert len({costs[-1]["steps"] for _, _, costs in found["labelled_steps"]}) == 1
    for _, _, costs in found["epochs"]:
        assert all(one["epochs"] == pytest.approx(6, rel=0.02) for one in costs)


@pytest.mark.parametrize("ce_on", ["image", "views"])
def test_the_joint_run_goes_on_through_batches_without_a_label(ce_on: str, prepared: Write) -> None:
    changes = {"modes": ["functional"], "labels": {"per_class": 1}, "budget": {"passes": 6, "checks": 50}}
    params = prepared(DIGITS | changes | {"joint": {"images": "same", "ce_on": ce_on, "batch_size": 4}})
    train(params, 0)
    run = Run("digits", "functional", 0)
    spent = cost_of(run)
    images = sum(json.loads(Path("data/digits/meta.json").read_text())["counts"]["train"])
    assert spent["image_passes"] == spent["steps"] * 4 * (3 if ce_on == "image" else 2)
    assert spent["image_passes"] == pytest.approx(6 * images, abs=6)
    with (run.log / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(0 < float(row["ssl"]) < 10 for row in rows)
    with_labels = [float(row["ce"]) for row in rows if row["ce"]]
    assert 0 < len(with_labels) < len(rows) and all(0 < value < 20 for value in with_labels)


def test_recalibrated_statistics_are_those_of_the_plain_training_images_in_every_arm(prepared: Write) -> None:
    params = prepared(DIGITS | {"modes": ALL, "bn": "recalibrated"})
    train(params, 0)
    splits = {name: load_split(Path("data/digits"), name) for name in ("train", "val")}
    images = {
        name: normalize(split.images(torch.arange(len(split))), split.meta.mean, split.meta.std)
        for name, split in splits.items()
    }
    for mode in params.arms:
        run = Run("digits", mode, 0)
        model, _ = load_model(run.model)
        first = model.backbone.conv1(images["train"]).transpose(0, 1).flatten(1)  # type: ignore[union-attr, operator]
        found = model.backbone.bn1  # type: ignore[union-attr]
        torch.testing.assert_close(found.running_mean, first.mean(1), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found.running_var, first.var(1), rtol=1e-2, atol=1e-4)
        with (run.log / "curve.csv").open() as file:
            kept = next(row for row in csv.DictReader(file) if int(row["step"]) == cost_of(run)["kept_step"])
        with torch.no_grad():
            correct = (model(images["val"]).argmax(1) == splits["val"].labels).double().mean().item()
        assert float(kept["val_accuracy"]) == pytest.approx(correct, abs=0.04), "of the weights as written (bf16)"
    before, after = (load_file(Run("digits", name, 0).model / "weights.safetensors") for name in (PRETRAINED, "frozen"))
    assert all(after[f"backbone.{name}"].equal(tensor) for name, tensor in before.items()), "frozen stays frozen"


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, torch.Tensor]:
    """torchvision's resnet18 with random weights, as files in both formats."""
    torch.manual_seed(7)
    state = resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    save_file(state, tmp_path / "resnet18.safetensors")
    return state


def test_the_arm_imagenet_starts_from_the_file_and_is_compared(
    write_params: Write, weights: dict[str, torch.Tensor]
) -> None:
    still = {"learning_rate": 1e-9, "weight_decay": 0.0}
    color = {"seeds": [0], "prepare": {"image_size": 32, "channels": 3, "limit_per_class": 12}, "model": NETWORK}
    small = color | {"modes": ["supervised", "imagenet"], "budget": {"passes": 2, "checks": 1}}
    params = write_params(small | {"imagenet": {"source": "resnet18.pth"} | still})
    run_stages(params)
    stored = load_file(Run("digits", "imagenet", 0).model / "weights.safetensors")
    trained = [name for name in stored if "running" not in name and "batches" not in name and "head" not in name]
    for name in trained:
        torch.testing.assert_close(stored[name], weights[name.removeprefix("backbone.")], rtol=1e-5, atol=1e-6)
    steps = [cost_of(Run("digits", mode, 0))["steps"] for mode in params.arms]
    assert steps[0] == steps[1]
    assert {"imagenet", "supervised"} < set(json.loads(Path("metrics/summary.json").read_text()))
    assert "ImageNet weights on the labels" in Path("metrics/report.html").read_text()

    train_one("imagenet", 0, write_params(small | {"imagenet": {"source": "resnet18.safetensors"} | still}))
    again = load_file(Run("digits", "imagenet", 0).model / "weights.safetensors")
    assert all(again[name].equal(tensor) for name, tensor in stored.items()), "the format does not matter"


def test_weights_of_another_network_and_damaged_files_are_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    backbone = build_backbone(Model.model_validate(NETWORK | {"backbone": "resnet34"}), 3)
    with pytest.raises(CheckpointError, match=r"resnet18.pth: these are not torchvision's weights of a resnet34"):
        load_imagenet(backbone, "resnet34", tmp_path / "resnet18.pth")
    (tmp_path / "damaged.pth").write_bytes(b"PK")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"weight": Path("a")}, tmp_path / "object.pth")
    for name, message in (
        ("damaged.pth", "cannot be read"),
        ("list.pth", "has no state_dict"),
        ("object.pth", "cannot be"),
    ):
        with pytest.raises(CheckpointError, match=f"imagenet.source: .*{name} {message}"):
            load_imagenet(backbone, "resnet34", tmp_path / name)
