"""Backbones against torchvision's, and their shapes at any width and stem."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fkt.core.errors import CheckpointError
from fkt.data.keys import seeded
from fkt.models.backbones import BACKBONES, build_backbone
from fkt.models.checkpoint import transfer_weights
from fkt.models.classifier import Classifier
from fkt.models.flops import forward_flops
from fkt.params import Model


def model(backbone: str, width: int = 64, stem: str = "imagenet") -> Model:
    return Model.model_validate({"backbone": backbone, "width": width, "stem": stem, "weights": "none"})


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_standard_networks_are_torchvisions(name: str) -> None:
    from torchvision import models

    theirs = models.get_model(name, weights=None).eval()
    theirs.fc = nn.Identity()
    ours = build_backbone(model(name), channels=3)
    transfer_weights(ours, theirs.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_initialization_is_torchvisions(name: str) -> None:
    ours = build_backbone(model(name), channels=3)
    weight = ours.layer4[0].conv1.weight
    kernel = weight.shape[2] * weight.shape[3]
    assert weight.std().item() == pytest.approx((2 / (weight.shape[0] * kernel)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("channels", [1, 3])
def test_features_have_the_size_the_backbone_says(name: str, channels: int) -> None:
    backbone = build_backbone(model(name, width=16, stem="small"), channels)
    images = torch.zeros(2, channels, 16, 16)
    assert backbone(images).shape == (2, backbone.feature_size)
    assert backbone.feature_map(images).shape == (2, backbone.feature_size, 2, 2)
    assert Classifier(backbone, 7)(images).shape == (2, 7)


def test_the_feature_sizes_of_the_standard_networks() -> None:
    sizes = {name: build_backbone(model(name), 3).feature_size for name in BACKBONES}
    assert sizes == {"resnet10": 512, "resnet18": 512, "resnet34": 512, "resnet50": 2048}


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    def build() -> torch.Tensor:
        with seeded(3, "backbone"):
            return build_backbone(model("resnet10", 16, "small"), 1).conv1.weight

    first = build()
    before = torch.get_rng_state()
    torch.rand(7)
    second = build()
    torch.set_rng_state(before)
    build()
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left as it was"


def test_every_tensor_is_accounted_for() -> None:
    backbone = build_backbone(model("resnet10", 16, "small"), 1)
    weights = dict(backbone.state_dict())
    del weights["conv1.weight"]
    with pytest.raises(CheckpointError, match=r"missing \['conv1.weight'\], without a place nothing"):
        transfer_weights(backbone, weights)
    transfer_weights(backbone, weights, fresh=("conv1.",))
    with pytest.raises(CheckpointError, match=r"without a place \['fc.bias'\]"):
        transfer_weights(backbone, {**backbone.state_dict(), "fc.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"conv1.weight is \(16, 3, 3, 3\) in the file and \(16, 1, 3, 3\)"):
        transfer_weights(backbone, {**backbone.state_dict(), "conv1.weight": torch.zeros(16, 3, 3, 3)})


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_flops_are_those_that_torch_counts(name: str, stem: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    backbone = build_backbone(model(name, width=16, stem=stem), 3)
    image = torch.zeros(1, 3, 32, 32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone.eval()(image)
    backbone.train()
    assert forward_flops(backbone, image) == counter.get_total_flops()
    assert backbone.training and not any(module._forward_hooks for module in backbone.modules())
