"""Activation maps against torchcam, closed forms, and networks whose answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchcam.methods import CAM, GradCAM, LayerCAM

from fkt.evaluation.cam import cam, eigencam, gradcam, layercam
from fkt.models.classifier import Classifier

FAMILY = {"cam": (cam, CAM), "gradcam": (gradcam, GradCAM), "layercam": (layercam, LayerCAM)}


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("cam", "layer4"), ("gradcam", "layer2"), ("gradcam", "layer4"), ("layercam", "layer2"), ("layercam", "layer4")],
)
def test_maps_agree_with_torchcam(classifier: Classifier, images: Tensor, name: str, layer: str) -> None:
    ours, theirs = FAMILY[name]
    target = torch.tensor([0, 3, 1, 4])
    module = classifier.backbone.get_submodule(layer)
    arguments = {"fc_layer": "head"} if name == "cam" else {}
    with theirs(classifier, f"backbone.{layer}", input_shape=(3, 32, 32), **arguments) as extractor:
        logits = classifier(images)
        coarse = extractor(target.tolist(), logits, normalized=False)[0].detach().relu()
    expected = nn.functional.interpolate(coarse.unsqueeze(1), (32, 32), mode="bilinear", align_corners=False).squeeze(1)
    expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    torch.testing.assert_close(ours(classifier, images, target, module), expected, atol=1e-5, rtol=1e-4)


def test_gradcam_at_the_last_layer_is_cam(classifier: Classifier, images: Tensor) -> None:
    target = torch.tensor([2, 2, 0, 1])
    layer = classifier.backbone.layer4
    torch.testing.assert_close(
        gradcam(classifier, images, target, layer), cam(classifier, images, target, layer), atol=1e-5, rtol=1e-4
    )


def test_the_sum_of_cam_is_the_logit(classifier: Classifier, images: Tensor) -> None:
    """The closed form behind CAM, read off a map without negative evidence."""
    classifier.head.weight.data.abs_()
    target = torch.tensor([0, 1, 2, 3])
    logits = classifier(images).gather(1, target[:, None])[:, 0] - classifier.head.bias[target]
    features = classifier.backbone.feature_map(images)
    evidence = torch.einsum("bdhw,bd->bhw", features, classifier.head.weight[target])
    torch.testing.assert_close(evidence.mean(dim=(1, 2)), logits)
    upsampled = nn.functional.interpolate(evidence[:, None], (32, 32), mode="bilinear")[:, 0]
    expected = upsampled / upsampled.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(cam(classifier, images, target, classifier.backbone.layer4), expected)


@pytest.mark.parametrize("name", list(FAMILY))
def test_maps_need_no_trainable_parameter_and_no_gradient_mode(
    classifier: Classifier, images: Tensor, name: str
) -> None:
    draw, target, layer = FAMILY[name][0], torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4
    expected = draw(classifier, images, target, layer)
    classifier.requires_grad_(False)
    for context in (torch.no_grad(), torch.enable_grad(), torch.inference_mode()):
        with context:
            fresh = images + 0  # inside inference_mode this is an inference tensor
            drawn = draw(classifier, fresh, target, layer)
        torch.testing.assert_close(drawn, expected)
        assert not drawn.requires_grad


@pytest.mark.parametrize("name", [*FAMILY, "eigencam"])
def test_maps_leave_the_model_as_it_was(classifier: Classifier, images: Tensor, name: str) -> None:
    state = {key: value.clone() for key, value in classifier.state_dict().items()}
    before = classifier(images)
    if name == "eigencam":
        eigencam(classifier.backbone, images, classifier.backbone.layer3)
    else:
        FAMILY[name][0](classifier, images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer4)
    assert all(not module._forward_hooks and not module._backward_hooks for module in classifier.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    assert torch.equal(classifier(images), before)
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_hooks_go_even_if_the_model_fails(classifier: Classifier) -> None:
    with pytest.raises(RuntimeError):
        gradcam(classifier, torch.zeros(1, 7, 32, 32), torch.tensor([0]), classifier.backbone.layer4)
    assert not classifier.backbone.layer4._forward_hooks


@pytest.mark.parametrize("name", list(FAMILY))
def test_maps_are_finite_shares_of_the_largest_evidence(classifier: Classifier, images: Tensor, name: str) -> None:
    drawn = FAMILY[name][0](classifier, images, torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4)
    assert drawn.shape == (4, 32, 32) and drawn.dtype == torch.float32
    assert drawn.min() >= 0 and torch.equal(drawn.amax(dim=(1, 2)), torch.ones(4))


@pytest.mark.parametrize("name", list(FAMILY))
def test_a_map_without_positive_evidence_is_zero(classifier: Classifier, images: Tensor, name: str) -> None:
    classifier.head.weight.data.abs_().neg_()
    drawn = FAMILY[name][0](classifier, images, torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4)
    assert torch.equal(drawn, torch.zeros(4, 32, 32))


def test_cam_refuses_a_layer_that_does_not_feed_the_head(classifier: Classifier, images: Tensor) -> None:
    with pytest.raises(ValueError, match="32 channels, the head takes 128"):
        cam(classifier, images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer2)


def test_a_model_in_training_mode_is_refused(classifier: Classifier, images: Tensor) -> None:
    with pytest.raises(ValueError, match="training mode"):
        layercam(classifier.train(), images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer4)


class _Brightness(nn.Module):
    """A backbone by hand: its layers pass brightness (channel 0) and darkness (channel 1) on."""

    feature_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(1, 2, 1)
        self.layer1.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.layer1.bias.data = torch.tensor([0.0, 1.0])
        self.layer2, self.layer3, self.layer4 = nn.AvgPool2d(2), nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return features.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("cam", "layer4"),
        *((name, layer) for name in ("gradcam", "layercam", "eigencam") for layer in ("layer1", "layer4")),
    ],
)
def test_maps_find_a_planted_bright_square(name: str, layer: str) -> None:
    classifier = Classifier(_Brightness(), 2).eval()  # type: ignore[arg-type]
    classifier.head.weight.data = torch.eye(2)  # class 0 is "bright"
    images = torch.zeros(1, 1, 32, 32)
    images[0, 0, 4:12, 16:28] = 1.0
    module = classifier.backbone.get_submodule(layer)
    if name == "eigencam":
        classifier.backbone.layer1.weight.data[1] = 0.0  # type: ignore[union-attr, operator, index]
        classifier.backbone.layer1.bias.data[1] = 0.0  # type: ignore[union-attr, operator, index]
        drawn = eigencam(classifier.backbone, images, module)
    else:
        drawn = FAMILY[name][0](classifier, images, torch.tensor([0]), module)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[4:12, 16:28] = True
    assert drawn[0][inside].min() > 0.5
    assert drawn[0][~inside].max() < 0.5
    assert drawn[0, 8, 20] == 1.0 and drawn[0, 30, 3] == 0.0


def test_eigencam_is_the_first_right_singular_vector(classifier: Classifier, images: Tensor) -> None:
    layer = classifier.backbone.layer3
    features = {}
    handle = layer.register_forward_hook(lambda _m, _i, output: features.update(a=output.detach().double().numpy()))
    classifier(images)
    handle.remove()
    for number, drawn in enumerate(eigencam(classifier.backbone, images, layer)):
        matrix = features["a"][number].reshape(features["a"].shape[1], -1)
        _, vectors = np.linalg.eigh(matrix.T @ matrix)  # ascending: the last one is the first component
        component = vectors[:, -1] * np.sign(vectors[:, -1].sum())
        component -= component.min()
        side = features["a"].shape[2]
        resized = nn.functional.interpolate(
            torch.from_numpy(component).view(1, 1, side, side), (32, 32), mode="bilinear", align_corners=False
        )[0, 0]
        torch.testing.assert_close(drawn.double(), resized / resized.max(), atol=1e-5, rtol=1e-4)


def test_eigencam_of_a_constant_or_empty_map_is_zero(classifier: Classifier) -> None:
    backbone = classifier.backbone
    backbone.layer1 = nn.Sequential()  # the stem alone: a constant image has constant features inside its border
    nn.init.zeros_(backbone.conv1.weight)
    for bias in (0.0, 0.7):
        nn.init.constant_(backbone.bn1.bias, bias)
        drawn = eigencam(backbone, torch.ones(2, 3, 32, 32), backbone.layer1)
        assert torch.equal(drawn, torch.zeros(2, 32, 32))
