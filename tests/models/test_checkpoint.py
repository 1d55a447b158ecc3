"""Stored models come back as they were, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fkt.core.errors import CheckpointError
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, load_backbone, load_classifier, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model

MODEL = {"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"}


def card(**changes: object) -> Card:
    content: dict[str, object] = {
        "mode": "supervised",
        "seed": 0,
        "dataset": "digits",
        "classes": ["zero", "one", "two"],
        "image_size": 16,
        "channels": 1,
        "mean": [0.3],
        "std": [0.4],
        "model": MODEL,
    }
    return Card(**{**content, **changes})  # type: ignore[arg-type]


def test_a_classifier_comes_back_with_its_card_and_its_numbers(tmp_path: Path) -> None:
    model = Classifier(build_backbone(Model.model_validate(MODEL), 1), 3)
    model(torch.randn(4, 1, 16, 16))  # moves the running statistics, which are stored too
    save_model(tmp_path, model, card())
    loaded, loaded_card = load_classifier(tmp_path)
    images = torch.randn(2, 1, 16, 16)
    assert not loaded.training
    assert loaded_card == card()
    torch.testing.assert_close(loaded(images), model.eval()(images), rtol=0, atol=0)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    model = build_backbone(Model.model_validate(MODEL), 1)
    for name in ("a", "b"):
        save_model(tmp_path / name, model, card(mode="pretrained"))
    for file in ("weights.safetensors", "card.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"weights.safetensors", "card.json"}
    load_backbone(tmp_path / "a")


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"card.json is missing; run 'dvc repro'"):
        load_classifier(tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, Classifier(build_backbone(Model.model_validate(MODEL), 1), 3), card())
    content = json.loads((tmp_path / "card.json").read_text())
    content["classes"].append("three")
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"head.bias is \(3,\) in the file and \(4,\) in the model"):
        load_classifier(tmp_path)
