"""Backbones against torchvision's, and their shapes for every width and stem."""

import pytest
import torch
from torch import nn

from fkt.data.keys import seeded
from fkt.models.backbones import BACKBONES, build_backbone
from fkt.models.classifier import Classifier
from fkt.models.flops import forward_flops
from fkt.params import Model


def model(backbone: str, width: int = 64, stem: str = "imagenet") -> Model:
    return Model.model_validate({"backbone": backbone, "width": width, "stem": stem, "weights": "none"})


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_standard_networks_equal_torchvisions(name: str) -> None:
    from torchvision import models

    theirs = models.get_model(name, weights=None).eval()
    theirs.fc = nn.Identity()
    ours = build_backbone(model(name), channels=3)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "feature_size"), [("resnet10", 512), ("resnet18", 512), ("resnet50", 2048)])
def test_initial_weights_have_the_standard_deviation_of_torchvisions(name: str, feature_size: int) -> None:
    ours = build_backbone(model(name), channels=3)
    assert ours.feature_size == feature_size
    weight = ours.layer4[0].conv1.weight
    kernel = weight.shape[2] * weight.shape[3]
    assert weight.std().item() == pytest.approx((2 / (weight.shape[0] * kernel)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("channels", [1, 3])
def test_features_have_the_feature_size_of_the_backbone(name: str, channels: int) -> None:
    backbone = build_backbone(model(name, width=16, stem="small"), channels)
    images = torch.zeros(2, channels, 16, 16)
    assert backbone(images).shape == (2, backbone.feature_size)
    assert backbone.feature_map(images).shape == (2, backbone.feature_size, 2, 2)
    assert Classifier(backbone, 7)(images).shape == (2, 7)


def test_a_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    def build() -> torch.Tensor:
        with seeded(3, "backbone"):
            return build_backbone(model("resnet10", 16, "small"), 1).conv1.weight

    first, state = build(), torch.get_rng_state()
    torch.rand(7)
    assert torch.equal(build(), first)
    torch.set_rng_state(state)
    build()
    assert torch.equal(torch.get_rng_state(), state), "the global generator has changed"


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_flops_equal_those_of_torchs_counter(name: str, stem: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    backbone = build_backbone(model(name, width=16, stem=stem), 3)
    image = torch.zeros(1, 3, 32, 32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone.eval()(image)
    backbone.train()
    assert forward_flops(backbone, image) == counter.get_total_flops()
    assert backbone.training
