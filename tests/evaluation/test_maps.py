"""The maps of a mode: their layer, their images, and the map of each image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fkt.core.errors import ParamsError
from fkt.data.store import Split
from fkt.evaluation import maps
from fkt.evaluation.cam import choose_layer, gradcam, map_sides
from fkt.evaluation.maps import choose_candidates, compute_maps
from fkt.models.backbones import BACKBONES, ResNet
from fkt.models.checkpoint import Card
from fkt.models.classifier import Classifier
from fkt.params import Cam


def test_the_last_layer_with_enough_positions_is_chosen() -> None:
    sides = {"layer1": 16, "layer2": 8, "layer3": 4, "layer4": 2}
    assert choose_layer("auto", sides, min_positions=8) == ("gradcam", "layer2")
    assert choose_layer("cam", sides, min_positions=8) == ("cam", "layer4")
    assert choose_layer("layercam", sides, min_positions=8) == ("layercam", "layer2")
    assert choose_layer("auto", sides, min_positions=2) == ("cam", "layer4")


def test_an_error_names_the_sides_if_no_layer_has_enough_positions() -> None:
    backbone = ResNet(BACKBONES["resnet10"], channels=1, width=16, stem="imagenet").eval()
    sides = map_sides(backbone, torch.zeros(1, 1, 16, 16))
    assert sides == {"layer1": 4, "layer2": 2, "layer3": 1, "layer4": 1}
    with pytest.raises(ParamsError, match=r"cam\.min_positions: 8 .*layer1 has 4.*lower it to 4 or less"):
        choose_layer("auto", sides, min_positions=8)


def test_candidates_are_balanced_over_classes_and_a_larger_count_appends() -> None:
    labels = torch.arange(200) % 3
    labels[:150] = 0
    few, many = choose_candidates(labels, 12), choose_candidates(labels, 60)
    assert torch.equal(torch.bincount(labels[few]), torch.tensor([4, 4, 4]))
    assert torch.equal(many[:12], few)
    counts = torch.bincount(labels[many])
    assert counts[1] == (labels == 1).sum() and counts[2] == (labels == 2).sum() and counts.sum() == 60
    assert len(many.unique()) == 60 and len(choose_candidates(labels, 1000)) == 200


CARD = Card("supervised", 0, "fake", list("abcde"), 32, 3, [0.5] * 3, [0.25] * 3, {})


def test_a_map_does_not_depend_on_the_other_images(classifier: Classifier, split: Split) -> None:
    positions = torch.arange(39, 4, -1)
    settings = Cam(images=2, candidates=35, method="gradcam", min_positions=4, target="true")
    arrays = compute_maps(classifier, CARD, split, positions, settings)
    assert arrays["ids"].tolist() == [100 + int(position) for position in positions]
    assert (str(arrays["method"]), str(arrays["layer"]), int(arrays["side"])) == ("gradcam", "layer4", 4)
    for row in (0, 17, 34):
        position = int(positions[row])
        image = split._images[position]
        assert isinstance(image, Tensor) and (arrays["images"][row] == image.numpy()).all()
        network = (image.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.25
        probabilities = classifier(network).softmax(dim=1)[0].detach()
        assert arrays["predicted"][row] == probabilities.argmax()
        assert arrays["confidence"][row] == pytest.approx(float(probabilities.max()), rel=1e-5)
        truth = split.labels[position : position + 1]
        alone = gradcam(classifier, network, truth, classifier.backbone.layer4)[0]
        np.testing.assert_allclose(arrays["maps"][row], alone.numpy(), atol=6e-5)


def test_large_pictures_and_their_maps_are_stored_reduced(
    classifier: Classifier, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Cam(images=2, candidates=6, method="gradcam", min_positions=4, target="true")
    whole = compute_maps(classifier, CARD, split, torch.arange(6), settings)
    monkeypatch.setattr(maps, "LONGEST_SIDE", 16)
    small = compute_maps(classifier, CARD, split, torch.arange(6), settings)
    for name, tolerance in (("images", 0.51), ("maps", 1e-4)):
        blocks = whole[name].reshape(6, 16, 2, 16, 2, -1).mean(axis=(2, 4))
        np.testing.assert_allclose(small[name].reshape(blocks.shape), blocks, atol=tolerance)
