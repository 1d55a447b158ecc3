"""Predictions for whole splits: every image once, in order, in eval mode, with the model's own normalization."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fkt.core.errors import Diverged
from fkt.core.files import write_arrays
from fkt.data.store import Split
from fkt.evaluation.predict import features, predict
from fkt.models.classifier import Classifier

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
NUM_IMAGES = 40


@pytest.fixture
def trained(classifier: Classifier) -> Classifier:
    """A classifier whose running statistics are neither the initial ones nor those of the test images."""
    classifier.train()
    with torch.no_grad():
        for _ in range(5):
            classifier(torch.randn(16, 3, 16, 16))
    return classifier.eval()


def features_of(model: Classifier, split: Split, batch_size: int = 5) -> torch.Tensor:
    return features(model.backbone, split, batch_size, mean=MEAN, std=STD)


def test_probabilities_agree_with_images_normalized_and_classified_one_by_one(
    trained: Classifier, split: Split
) -> None:
    found = predict(trained, features_of(trained, split))
    assert found.shape == (NUM_IMAGES, 5) and found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx(np.ones(NUM_IMAGES), abs=1e-6)
    trained.double()
    for position in range(0, NUM_IMAGES, 3):
        image = split.images(torch.tensor([position]))[0].double()
        channels = [(image[c] / 255 - MEAN[c]) / STD[c] for c in range(3)]
        with torch.no_grad():
            logits = trained(torch.stack(channels)[None])[0].numpy()
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert found[position] == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 13, 39, 40, 1000])
def test_the_batch_size_changes_no_feature_and_omits_no_image(
    trained: Classifier, split: Split, batch_size: int
) -> None:
    found = features_of(trained, split, batch_size)
    assert found.shape == (NUM_IMAGES, trained.backbone.feature_size)
    torch.testing.assert_close(found, features_of(trained, split, 6), rtol=1e-4, atol=1e-5)


def test_a_model_in_training_mode_gives_the_same_features_and_is_not_changed(trained: Classifier, split: Split) -> None:
    expected = features_of(trained, split)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    assert torch.equal(features_of(trained.train(), split), expected)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_features_that_are_not_finite_raise_an_error(trained: Classifier, split: Split) -> None:
    with torch.no_grad():
        trained.backbone.conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(Diverged, match="features of the test images are not all finite; lower the learning rate"):
        features_of(trained, split)


def test_predictions_have_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"probabilities": np.random.default_rng(0).random((5, 3), dtype=np.float32), "ids": np.arange(10, 15)}
    now, later = tmp_path / "new" / "now.npz", tmp_path / "later.npz"
    write_arrays(now, arrays)
    with np.load(now, allow_pickle=False) as stored:
        assert {name: stored[name].tolist() for name in stored} == {name: arrays[name].tolist() for name in arrays}
    moment = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: moment)
    write_arrays(later, arrays)
    assert now.read_bytes() == later.read_bytes()
