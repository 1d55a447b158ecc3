"""The evaluate stage on a fabricated dataset and stored models."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fkt.core.arms import PRETRAINED
from fkt.core.errors import CheckpointError
from fkt.core.runs import Run, prepared_path, transfer_path, transfer_prepared_path
from fkt.data.meta import Meta, load_meta, write_meta
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import PARAMS_FILE, Params, load_params
from stages.evaluate import main, transfer

CLASSES = ["dark", "middle", "bright"]
NUM_TRAIN, NUM_TEST = 30, 17
ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A prepared dataset of three brightnesses and two trained seeds of a mode, in a folder of their own."""
    params = load_params(ROOT / PARAMS_FILE).model_copy(update={"seeds": [0, 1], "dataset": "digits"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    generator = np.random.default_rng(0)
    labels = np.arange(NUM_TRAIN + NUM_TEST) % 3
    images = 60 + 70 * labels[:, None, None, None] + generator.integers(-30, 31, (len(labels), 16, 16, 1))
    prepared = prepared_path(params.dataset)
    prepared.mkdir(parents=True)
    np.save(prepared / "images.npy", images.astype(np.uint8))
    np.save(prepared / "labels.npy", labels)
    np.save(prepared / "train.npy", np.arange(NUM_TRAIN))
    np.save(prepared / "test.npy", np.arange(NUM_TRAIN, NUM_TRAIN + NUM_TEST))
    write_meta(prepared, Meta("digits", CLASSES, 16, 1, {}, mean=[0.5], std=[0.25]))
    for mode in ("functional", PRETRAINED):
        for seed in params.seeds:
            _save(params, mode, seed)
    return params


def _save(params: Params, mode: str, seed: int, classes: list[str] = CLASSES) -> None:
    torch.manual_seed(seed)
    backbone = build_backbone(params.model, channels=1)
    module = backbone if mode == PRETRAINED else Classifier(backbone, len(classes))
    card = Card(mode, seed, "digits", classes, 16, 1, [0.5], [0.25], params.model.model_dump())
    save_model(Run("digits", mode, seed).model, module, card)


def test_results_and_predictions_of_every_seed_are_written_and_agree(params: Params) -> None:
    main("functional", params)
    for seed in params.seeds:
        run = Run("digits", "functional", seed)
        results = json.loads(run.results.read_text())
        with np.load(run.predictions, allow_pickle=False) as stored:
            probabilities, labels, ids = stored["probabilities"], stored["labels"], stored["ids"]
        assert ids.tolist() == list(range(NUM_TRAIN, NUM_TRAIN + NUM_TEST))
        assert labels.tolist() == [i % 3 for i in ids]
        assert results["num_test"] == NUM_TEST == np.sum(results["confusion"])
        assert results["accuracy"] == np.mean(probabilities.argmax(axis=1) == labels)
        assert results["accuracy"] == np.trace(results["confusion"]) / NUM_TEST
        assert results["weighted_recall"] == pytest.approx(results["accuracy"])
        assert len(results) == 14
        assert results["linear_accuracy"] > 0.9  # brightness is in the features of any network
        assert results["knn_accuracy"] >= 1 / 3


def test_predictions_differ_between_seeds_and_are_the_same_when_repeated(params: Params) -> None:
    main("functional", params)
    runs = [Run("digits", "functional", seed) for seed in params.seeds]
    first = [(run.results.read_bytes(), run.predictions.read_bytes()) for run in runs]
    main("functional", params)
    assert [(run.results.read_bytes(), run.predictions.read_bytes()) for run in runs] == first
    assert first[0][1] != first[1][1]


def test_pretrained_backbone_is_probed_only(params: Params) -> None:
    main(PRETRAINED, params)
    run = Run("digits", PRETRAINED, 0)
    assert set(json.loads(run.results.read_text())) == {"knn_accuracy", "linear_accuracy", "num_test"}
    assert not run.predictions.exists()


def _other_dataset(name: str, **changes: object) -> None:
    """A copy of the prepared data under another name, with other facts in its meta.json."""
    shutil.copytree(prepared_path("digits"), transfer_prepared_path(name))
    write_meta(transfer_prepared_path(name), replace(load_meta(prepared_path("digits")), dataset=name, **changes))


def test_transfer_is_what_the_probes_say_with_the_other_datasets_own_splits(params: Params) -> None:
    """On a copy of the dataset, that is what they say of the dataset; with labels swapped, another number."""
    main(PRETRAINED, params)
    own = [json.loads(Run("digits", PRETRAINED, seed).results.read_text()) for seed in params.seeds]
    _other_dataset("mnist", classes=["one", "two", "three"], mean=[0.1], std=[0.9])
    transfer("mnist", params)
    assert [json.loads(transfer_path("mnist", seed).read_text()) for seed in params.seeds] == own
    labels = np.load(transfer_prepared_path("mnist") / "labels.npy")
    labels[NUM_TRAIN:] = (labels[NUM_TRAIN:] + 1) % 3
    np.save(transfer_prepared_path("mnist") / "labels.npy", labels)
    transfer("mnist", params.model_copy(update={"seeds": [1]}))
    assert json.loads(transfer_path("mnist", 1).read_text())["linear_accuracy"] < 0.1 < own[1]["linear_accuracy"]
    assert not transfer_path("mnist", 0).exists(), "a seed that is no longer asked for"
    models = Run("digits", PRETRAINED, 0).model.parent
    assert [path.name for path in models.iterdir()] == ["s1"], "the stage depends on the folder as a whole"
    assert not (transfer_prepared_path("mnist") / "val.npy").exists()


def test_transfer_to_images_of_another_size_is_refused(params: Params) -> None:
    _other_dataset("mnist", image_size=32)
    with pytest.raises(CheckpointError, match="data/transfer/mnist has images of another size .*'dvc repro'"):
        transfer("mnist", params)


def test_results_of_seeds_that_are_no_longer_asked_for_are_removed(params: Params) -> None:
    main("functional", params)
    main("functional", params.model_copy(update={"seeds": [1]}))
    folder = Run("digits", "functional", 1).results.parent
    assert sorted(file.name for file in folder.iterdir()) == ["s1.json", "s1.npz"]


def test_batch_size_changes_no_score(params: Params) -> None:
    run = Run("digits", "functional", 0)
    found = []
    for batch_size in (1, 16, 1000):
        evaluate = params.evaluate.model_copy(update={"batch_size": batch_size})
        main("functional", params.model_copy(update={"evaluate": evaluate}))
        found.append(json.loads(run.results.read_text()))
    confusions = [results.pop("confusion") for results in found]
    assert confusions[0] == confusions[1] == confusions[2]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] == pytest.approx(found[2], abs=1e-5)


def test_validation_images_are_not_opened(params: Params) -> None:
    assert not (prepared_path("digits") / "val.npy").exists()
    main("functional", params)


def test_one_line_is_printed_for_each_seed(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    main("functional", params)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("functional, seed 1: accuracy 0.")
    for name in ("macro_precision", "macro_recall", "knn_accuracy", "linear_accuracy", "on 17 images"):
        assert name in lines[0]


def test_model_of_other_classes_is_refused(params: Params) -> None:
    _save(params, "functional", 0, classes=["cat", "dog"])
    with pytest.raises(CheckpointError, match="trained on digits with other classes; run 'dvc repro'"):
        main("functional", params)


def test_missing_model_is_named(params: Params) -> None:
    shutil.rmtree(Run("digits", "functional", 1).model)
    with pytest.raises(CheckpointError, match=r"models/functional/s1/card\.json is missing"):
        main("functional", params)
