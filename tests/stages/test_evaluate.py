"""The evaluate and cam stages with a small dataset and stored models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fkt.core.arms import PRETRAINED, UNTRAINED
from fkt.core.errors import CheckpointError
from fkt.core.files import file_digest
from fkt.core.runs import Run, maps_path, prepared_path, transfer_path, transfer_prepared_path
from fkt.core.seals import without_digest
from fkt.data.meta import Meta, load_meta, write_meta
from fkt.data.store import load_split
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import PARAMS_FILE, Params, load_params
from fkt.training.session import Session
from stages import cam
from stages.evaluate import main
from tests.conftest import ROOT
from tests.stages.running import provenance

CLASSES = ["dark", "middle", "bright"]
NUM_TRAIN, NUM_TEST = 30, 17


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Prepared images of three brightnesses, and models of two seeds, in an empty folder. val.npy is missing: with one
    candidate for the linear probe, the validation images are not needed."""
    params = load_params(ROOT / PARAMS_FILE)
    evaluate = params.evaluate.model_copy(update={"linear_l2": [1e-4]})
    params = params.model_copy(update={"seeds": [0, 1], "dataset": "digits", "evaluate": evaluate})
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
            save(params, mode, seed)
    return params


def save(params: Params, mode: str, seed: int, classes: list[str] = CLASSES) -> None:
    torch.manual_seed(seed)
    backbone = build_backbone(params.model, channels=1)
    module = backbone if mode == PRETRAINED else Classifier(backbone, len(classes))
    save_model(Run("digits", mode, seed).model, module, card_of(params, mode, seed, classes))


def card_of(params: Params, mode: str, seed: int, classes: list[str] = CLASSES) -> Card:
    """The card of a model that was trained with these params on the prepared images."""
    fields = provenance(Run("digits", mode, seed), params)
    return Card(mode, seed, "digits", classes, 16, 1, [0.5], [0.25], params.model.model_dump(), **fields)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_results_and_predictions_of_every_seed_are_written_and_agree(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    main("functional", params)
    lines = capsys.readouterr().out.splitlines()
    for seed, line in zip(params.seeds, lines, strict=True):
        run = Run("digits", "functional", seed)
        results = read(run.results)
        with np.load(run.predictions, allow_pickle=False) as stored:
            probabilities, labels, ids = stored["probabilities"], stored["labels"], stored["ids"]
            stored_probes = {name: stored[name] for name in ("knn", "linear")}
        predicted = probabilities.argmax(axis=1)
        assert ids.tolist() == list(range(NUM_TRAIN, NUM_TRAIN + NUM_TEST))
        assert labels.tolist() == [i % 3 for i in ids]
        pairs = list(zip(labels, predicted, strict=True))
        assert results["confusion"] == [[pairs.count((actual, called)) for called in range(3)] for actual in range(3)]
        assert results["num_test"] == NUM_TEST
        assert results["accuracy"] == np.mean(predicted == labels)
        assert len(results) == 16
        for name in ("knn", "linear"):
            assert stored_probes[name].dtype == np.int64
            assert results[f"{name}_accuracy"] == pytest.approx(np.mean(stored_probes[name] == labels))
        assert results["linear_accuracy"] > 0.9  # the features of any network contain the brightness
        assert results["knn_accuracy"] >= 1 / 3
        assert line.startswith(f"functional, seed {seed}: accuracy {results['accuracy']:.4f}, macro_precision 0.")
        assert all(name in line for name in ("macro_recall", "knn_accuracy", "linear_accuracy", "on 17 images"))


def test_results_differ_between_seeds_are_the_same_when_repeated_and_are_those_of_params(params: Params) -> None:
    folder = Run("digits", "functional", 0).results.parent
    found = []
    for _ in range(2):
        main("functional", params)
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[0] == found[1] and found[0]["s0.npz"] != found[0]["s1.npz"]
    main("functional", params.model_copy(update={"seeds": [1]}))
    assert {path.name for path in folder.iterdir()} == {"checksums.json", "s1.json", "s1.npz"}


def copy_as(name: str, **changes: Any) -> None:
    """Copy the prepared dataset to another name, with changes of its meta.json."""
    shutil.copytree(prepared_path("digits"), transfer_prepared_path(name))
    write_meta(transfer_prepared_path(name), replace(load_meta(prepared_path("digits")), dataset=name, **changes))


def test_a_pretrained_backbone_is_probed_on_its_dataset_and_on_others_with_their_own_splits(params: Params) -> None:
    """A copy of the dataset gives the same scores. Other labels of the test images give other scores."""
    main(PRETRAINED, params)
    own = [read(Run("digits", PRETRAINED, seed).results) for seed in params.seeds]
    assert set(own[0]) == {"knn_accuracy", "knn_neighbors", "linear_accuracy", "linear_l2", "num_test"}
    with np.load(Run("digits", PRETRAINED, 0).predictions, allow_pickle=False) as stored:
        assert sorted(stored) == ["ids", "knn", "labels", "linear"]
    copy_as("mnist", classes=["one", "two", "three"], mean=[0.1], std=[0.9])
    main(PRETRAINED, params, "mnist")
    assert [read(transfer_path("mnist", seed)) for seed in params.seeds] == own
    labels = np.load(transfer_prepared_path("mnist") / "labels.npy")
    labels[NUM_TRAIN:] = (labels[NUM_TRAIN:] + 1) % 3
    np.save(transfer_prepared_path("mnist") / "labels.npy", labels)
    main(PRETRAINED, params.model_copy(update={"seeds": [1]}), "mnist")
    assert read(transfer_path("mnist", 1))["linear_accuracy"] < 0.1 < own[1]["linear_accuracy"]
    assert not transfer_path("mnist", 0).exists(), "params.yaml no longer names seed 0"
    models = Run("digits", PRETRAINED, 0).model.parent
    assert [path.name for path in models.iterdir()] == ["s1"], "the stage depends on the whole folder"


def test_the_untrained_backbone_is_the_one_that_training_starts_from(params: Params) -> None:
    np.save(prepared_path("digits") / "val.npy", np.arange(NUM_TRAIN))
    params = params.model_copy(
        update={"evaluate": params.evaluate.model_copy(update={"linear_l2": [1e-4, 1e-2]}), "seeds": [3]}
    )
    run, split = Run("digits", PRETRAINED, 3), load_split(prepared_path("digits"), "train")
    session = Session(params, run, torch.device("cpu"), torch.float32, split, split, split.ids, split.ids)
    save_model(run.model, session.fresh_backbone(), card_of(params, PRETRAINED, 3))
    main(PRETRAINED, params)
    main(UNTRAINED, params)
    untrained = Run("digits", UNTRAINED, 3)
    assert read(untrained.results) == read(run.results) | {"weights": "none"}
    assert untrained.predictions.read_bytes() == run.predictions.read_bytes()


def test_a_model_of_another_training_is_refused(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (Run("digits", "functional", seed).model for seed in (0, 1))
    remedy = "run 'dvc repro --force --single-item joint@0' to train it again"
    with pytest.raises(CheckpointError, match=f"lambda was .* in its training, and now is 0.125; {remedy}"):
        main("functional", params.model_copy(update={"ssl_weight": 0.125}))
    meta = load_meta(prepared_path("digits"))
    intact = {"labels.npy": file_digest(prepared_path("digits") / "labels.npy")}
    write_meta(prepared_path("digits"), replace(meta, checksums=intact))
    with pytest.raises(CheckpointError, match="functional/s0: data was .*, and now is .*; run"):
        main("functional", params)
    write_meta(prepared_path("digits"), meta)
    edit = without_digest(json.loads((first / "card.json").read_text())) | {"code": "other"}
    (first / "card.json").write_text(json.dumps(edit))
    main("functional", params)
    assert "note: models/functional/s0 was trained by other code than the current code" in capsys.readouterr().out
    shutil.copy(second / "weights.safetensors", first)
    with pytest.raises(CheckpointError, match="s0/weights.safetensors is not the file that card.json describes"):
        main("functional", params)
    shutil.copy(second / "card.json", first)
    with pytest.raises(CheckpointError, match="functional/s0 has the model of functional, seed 1; run"):
        main("functional", params)


def test_quadratic_kappa_is_a_score_of_ordered_classes_only(params: Params) -> None:
    results = Run("digits", "functional", 0).results
    main("functional", params)
    assert "quadratic_kappa" not in read(results)
    main("functional", params.model_copy(update={"prepare": params.prepare.model_copy(update={"ordered": True})}))
    assert "quadratic_kappa" in read(results)


def test_transfer_to_images_of_another_size_raises_an_error(params: Params) -> None:
    copy_as("mnist", image_size=32)
    message = "pretrained/s0 was trained with another image size.* than data/transfer/mnist has; run 'dvc repro'"
    with pytest.raises(CheckpointError, match=message):
        main(PRETRAINED, params, "mnist")


def test_a_model_of_other_classes_raises_an_error(params: Params) -> None:
    save(params, "functional", 0, classes=["cat", "dog"])
    with pytest.raises(CheckpointError, match=r"functional/s0 .* classes than data/digits has; run 'dvc repro'"):
        main("functional", params)


def test_cam_writes_the_maps_of_an_arm_and_of_the_pretrained_backbone(params: Params) -> None:
    params = params.model_copy(update={"cam": params.cam.model_copy(update={"candidates": 7, "method": "auto"})})
    arrays, repeated = {}, []
    for mode in ("functional", PRETRAINED):
        for _ in range(2):
            cam.main(mode, params)
            repeated.append(maps_path(mode).read_bytes())
        with np.load(maps_path(mode), allow_pickle=False) as stored:
            arrays[mode] = {name: stored[name] for name in stored.files}
    assert repeated[0] == repeated[1] and repeated[2] == repeated[3]
    ours, theirs = arrays["functional"], arrays[PRETRAINED]
    assert np.array_equal(ours["ids"], theirs["ids"]) and np.array_equal(ours["images"], theirs["images"])
    assert ours["maps"].shape == theirs["maps"].shape == (7, 16, 16)
    assert set(ours) - set(theirs) == {"predicted", "confidence", "target"}
    assert str(theirs["method"]) == "eigencam"
