"""Activation maps against torchcam, closed forms, and networks whose maps are known by construction."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchcam.methods import CAM, GradCAM, LayerCAM

from fkt.evaluation.cam import CLASS_MAPS, cam, eigencam, gradcam
from fkt.models.classifier import Classifier

TORCHCAM = {"cam": CAM, "gradcam": GradCAM, "layercam": LayerCAM}
TARGET = torch.tensor([0, 3, 1, 4])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def upsampled(evidence: Tensor) -> Tensor:
    """Maps (B, h, w) resized to 32 x 32 and divided by their maxima."""
    resized = nn.functional.interpolate(evidence.unsqueeze(1), (32, 32), mode="bilinear").squeeze(1)
    return resized / resized.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("cam", "layer4"), ("gradcam", "layer2"), ("gradcam", "layer4"), ("layercam", "layer2"), ("layercam", "layer4")],
)
def test_class_maps_agree_with_torchcam(classifier: Classifier, images: Tensor, name: str, layer: str) -> None:
    found = CLASS_MAPS[name](classifier, images, TARGET, classifier.backbone.get_submodule(layer))
    assert not any(module._forward_hooks or module._backward_hooks for module in classifier.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    arguments = {"fc_layer": "head"} if name == "cam" else {}
    with TORCHCAM[name](classifier, f"backbone.{layer}", input_shape=(3, 32, 32), **arguments) as extractor:
        logits = classifier(images)
        coarse = extractor(TARGET.tolist(), logits, normalized=False)[0].detach().relu()
    torch.testing.assert_close(found, upsampled(coarse), atol=1e-5, rtol=1e-4)
    assert found.dtype == torch.float32 and not found.requires_grad
    assert found.min() >= 0 and torch.equal(found.amax(dim=(1, 2)), torch.ones(4))


def test_gradcam_at_the_last_layer_is_cam_whose_mean_is_the_logit(classifier: Classifier, images: Tensor) -> None:
    layer = classifier.backbone.layer4
    found = [draw(classifier, images, TARGET, layer) for draw in (cam, gradcam)]
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    classifier.head.weight.data.abs_()  # no negative evidence
    logits = classifier(images).gather(1, TARGET[:, None])[:, 0] - classifier.head.bias[TARGET]
    features = classifier.backbone.feature_map(images)
    evidence = torch.einsum("bdhw,bd->bhw", features, classifier.head.weight[TARGET])
    torch.testing.assert_close(evidence.mean(dim=(1, 2)), logits)
    torch.testing.assert_close(cam(classifier, images, TARGET, layer), upsampled(evidence))


@pytest.mark.parametrize("name", list(CLASS_MAPS))
def test_a_map_without_positive_evidence_is_zero(classifier: Classifier, images: Tensor, name: str) -> None:
    classifier.head.weight.data.abs_().neg_()
    drawn = CLASS_MAPS[name](classifier, images, TARGET, classifier.backbone.layer4)
    assert torch.equal(drawn, torch.zeros(4, 32, 32))


def test_eigencam_is_the_first_right_singular_vector(classifier: Classifier, images: Tensor) -> None:
    layer = classifier.backbone.layer3
    features = []
    with layer.register_forward_hook(lambda _module, _inputs, output: features.append(output.detach().double())):
        classifier(images)
    for number, drawn in enumerate(eigencam(classifier.backbone, images, layer)):
        matrix = features[0][number].flatten(1).numpy()
        _, vectors = np.linalg.eigh(matrix.T @ matrix)  # ascending: the last vector is the first component
        component = vectors[:, -1] * np.sign(vectors[:, -1].sum())
        side = features[0].shape[2]
        expected = upsampled(torch.from_numpy(component - component.min()).view(1, side, side))[0]
        torch.testing.assert_close(drawn.double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_eigencam_of_a_constant_or_empty_map_is_zero(classifier: Classifier, bias: float) -> None:
    backbone = classifier.backbone
    backbone.layer1 = nn.Sequential()  # the stem alone: a constant image has constant features
    nn.init.zeros_(backbone.conv1.weight)
    nn.init.constant_(backbone.bn1.bias, bias)
    assert torch.equal(eigencam(backbone, torch.ones(2, 3, 32, 32), backbone.layer1), torch.zeros(2, 32, 32))
