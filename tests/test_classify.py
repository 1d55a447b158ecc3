"""A stored classifier sees a file as it saw the training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fkt.classify import classify
from fkt.data.keys import seeded
from fkt.data.normalize import normalize
from fkt.data.store import load_split
from fkt.errors import CheckpointError, CorruptData
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import save_model
from fkt.models.classifier import Classifier
from fkt.params import Model, load_params
from fkt.raw.prepare import prepare
from tests import fakes
from tests.conftest import ROOT
from tests.models.test_checkpoint import MODEL, card


def stored(folder: Path) -> Classifier:
    with seeded("classify"):
        model = Classifier(build_backbone(Model.model_validate(MODEL), 1), 3)
    save_model(folder, model, card())
    return model.eval()


def test_a_file_of_the_right_size_gets_the_models_own_probabilities(tmp_path: Path) -> None:
    model = stored(tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16), dtype=np.uint8)
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    classes, found = classify(tmp_path / "model", paths)
    expected = model(normalize(torch.from_numpy(pixels)[:, None], [0.3], [0.4])).softmax(dim=1)
    assert classes == ["zero", "one", "two"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dataset", ["folder", "aptos"])
def test_files_are_seen_as_prepare_has_made_them(dataset: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    if dataset == "aptos":
        fakes.write_aptos(raw)
    else:
        fakes.write_folder(raw, ("a", "b", "c"), {"train": 12, "test": 5}, size=40)
    settings = load_params(ROOT / "params.yaml").prepare
    prepare(dataset, settings.model_copy(update={"source": str(raw)}), tmp_path / "data")
    test = load_split(tmp_path / "data", "test")
    with seeded("classify"):
        model = Classifier(build_backbone(Model.model_validate(MODEL), 1), test.meta.num_classes).eval()
    save_model(tmp_path / "model", model, card(dataset=dataset, classes=test.meta.classes))
    everything = torch.arange(len(test))
    expected = model(normalize(test.images(everything), [0.3], [0.4])).softmax(dim=1).detach()
    files = sorted(path for path in raw.rglob("*") if path.suffix in (".png", ".jpg"))
    _, found = classify(tmp_path / "model", files)
    assert len(files) > 32, "more than one batch"
    apart = (expected[:, None] - found).abs().amax(dim=2).min(dim=1)  # of each prepared image, the file nearest to it
    assert apart.values.max() < 1e-6 and len(apart.indices.unique()) == len(test)


@pytest.mark.parametrize("name", ["pretrained", "teacher", "student"])
def test_a_backbone_without_classes_is_refused(tmp_path: Path, name: str) -> None:
    backbone = build_backbone(Model.model_validate(MODEL), 1)
    save_model(tmp_path / "s0", backbone, card(mode=name))
    with pytest.raises(CheckpointError, match="is a backbone without classifier and knows no classes"):
        classify(tmp_path / "s0", [])
    with pytest.raises(CheckpointError, match="did you mean .*s0"):
        classify(tmp_path, [])


def test_what_cannot_be_classified_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="card.json is missing"):
        classify(tmp_path, [])
    stored(tmp_path / "model")
    with pytest.raises(CorruptData, match="there is no such file"):
        classify(tmp_path / "model", [tmp_path / "absent.png"])
