"""Predictions of whole splits: every image, once, in order, in eval mode, with the model's own normalization."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fkt.core.errors import Diverged
from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.evaluation.predict import (
    features,
    fingerprint,
    logits_of,
    probabilities_of,
    untouched,
    write_predictions,
)
from fkt.models.backbones import BACKBONES, ResNet
from fkt.models.classifier import Classifier

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
NUM_IMAGES = 13


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    model = Classifier(ResNet(BACKBONES["resnet10"], channels=3, width=16, stem="small"), 4)
    model.train()
    with torch.no_grad():
        for _ in range(5):  # running statistics that are neither fresh nor those of the test images
            model(torch.randn(16, 3, 16, 16))
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


@pytest.fixture
def split() -> Split:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (NUM_IMAGES, 16, 16, 3), dtype=np.uint8)
    # what the data say of themselves is wrong on purpose: the model's own numbers count
    meta = Meta("fake", ["a", "b", "c", "d"], 16, 3, {}, mean=[0.0] * 3, std=[1.0] * 3)
    ids = torch.arange(100, 100 + NUM_IMAGES)
    return Split("test", meta, ids, torch.from_numpy(generator.integers(0, 4, NUM_IMAGES)), torch.from_numpy(images))


def _all(model: Classifier, split: Split, batch_size: int) -> torch.Tensor:
    return logits_of(model, features(model.backbone, split, batch_size, "cpu", mean=MEAN, std=STD))


def test_predict_agrees_with_images_normalized_and_classified_one_by_one(classifier, split) -> None:
    found = _all(classifier, split, 5)
    assert found.shape == (NUM_IMAGES, 4)
    assert found.dtype == torch.float32
    for position in range(NUM_IMAGES):
        image = split.images(torch.tensor([position]))[0].double()
        channels = [(image[c] / 255 - MEAN[c]) / STD[c] for c in range(3)]
        with torch.no_grad():
            expected = classifier.double()(torch.stack(channels)[None])[0]
        torch.testing.assert_close(found[position].double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 12, 13, 1000])
def test_no_batch_size_changes_a_prediction_or_leaves_an_image_out(classifier, split, batch_size: int) -> None:
    found = _all(classifier, split, batch_size)
    expected = _all(classifier, split, 6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.argmax(1), expected.argmax(1))


def test_logits_are_the_heads_answer_to_the_features(classifier, split) -> None:
    found = features(classifier.backbone, split, 5, "cpu", mean=MEAN, std=STD)
    assert found.shape == (NUM_IMAGES, classifier.backbone.feature_size)
    assert torch.equal(logits_of(classifier, found), _all(classifier, split, 5))


def test_model_in_train_mode_is_evaluated_in_eval_mode_and_left_as_it_was(classifier, split) -> None:
    expected, before = _all(classifier, split, 5), fingerprint(classifier)
    classifier.train()
    assert torch.equal(_all(classifier, split, 5), expected)
    assert fingerprint(classifier) == before


def test_features_can_be_learned_from(classifier, split) -> None:
    found = features(classifier.backbone, split, 5, "cpu", mean=MEAN, std=STD)
    weight = torch.zeros(found.shape[1], requires_grad=True)
    (found @ weight).sum().backward()  # refused for a tensor made in inference mode
    assert weight.grad is not None
    assert not found.is_inference()
    assert not logits_of(classifier, found).is_inference()


def test_images_that_stay_on_disk_give_the_same_features(classifier, split, tmp_path: Path) -> None:
    everything = np.zeros((200, 16, 16, 3), dtype=np.uint8)
    everything[100 : 100 + NUM_IMAGES] = split.images(torch.arange(NUM_IMAGES)).permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "images.npy", everything)
    mapped = Split("test", split.meta, split.ids, split.labels, np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert torch.equal(_all(classifier, mapped, 5), _all(classifier, split, 5))


def test_features_that_are_not_finite_are_reported_as_divergence(classifier, split) -> None:
    with torch.no_grad():
        classifier.backbone.conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(Diverged, match="features of the test images are not all finite; lower the learning rate"):
        _all(classifier, split, 5)


def test_cudnn_settings_are_as_before_an_evaluation(classifier, split) -> None:
    def settings() -> tuple[bool, bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32

    before = settings()
    _all(classifier, split, 5)
    assert settings() == before


def test_probabilities_are_the_softmax_and_sum_to_one() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [1000.0, 0.0, -1000.0], [3.0, 3.0, 3.0]])
    found = probabilities_of(logits)
    weights = np.exp([0.0, 1.0, 2.0])
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(weights / weights.sum(), rel=1e-6)
    assert found[1].tolist() == [1.0, 0.0, 0.0]
    assert found.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_fingerprint_sees_every_parameter_and_buffer(classifier) -> None:
    seen = {fingerprint(classifier)}
    tensors = [*classifier.parameters(), *classifier.buffers()]
    with torch.no_grad():
        for tensor in tensors:
            tensor[(-1,) * tensor.ndim] += 1  # changes add up, so every fingerprint must be new
            seen.add(fingerprint(classifier))
    assert len(seen) == len(tensors) + 1


def test_fingerprint_sees_names_and_is_the_same_for_a_copy() -> None:
    torch.manual_seed(0)
    weight, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.load_state_dict(weight.state_dict())
    assert fingerprint(weight) == fingerprint(other)
    assert fingerprint(torch.nn.ModuleDict({"a": weight})) != fingerprint(torch.nn.ModuleDict({"b": weight}))


def test_fingerprint_takes_half_precision() -> None:
    module = torch.nn.Linear(3, 2).bfloat16()
    before = fingerprint(module)
    assert fingerprint(module) == before != fingerprint(module.float())


def test_change_of_a_running_mean_is_noticed(classifier) -> None:
    with untouched(classifier):
        classifier(torch.zeros(2, 3, 16, 16))
    classifier.train()
    with pytest.raises(AssertionError, match="evaluation changed the Classifier"), untouched(classifier):
        classifier(torch.zeros(2, 3, 16, 16))


def test_predictions_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "functional" / "s0.npz"
    probabilities = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    write_predictions(path, probabilities, np.arange(5), np.arange(10, 15))
    with np.load(path, allow_pickle=False) as stored:
        assert sorted(stored.files) == ["ids", "labels", "probabilities"]
        assert np.array_equal(stored["probabilities"], probabilities)
        assert stored["probabilities"].dtype == np.float32
        assert stored["labels"].tolist() == [0, 1, 2, 3, 4]
        assert stored["ids"].tolist() == [10, 11, 12, 13, 14]
    assert [file.name for file in path.parent.iterdir()] == ["s0.npz"]


def test_equal_predictions_are_equal_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.full((4, 2), 0.5, dtype=np.float32)
    write_predictions(tmp_path / "now.npz", probabilities, np.arange(4), np.arange(4))
    later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: later)
    write_predictions(tmp_path / "later.npz", probabilities, np.arange(4), np.arange(4))
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()
