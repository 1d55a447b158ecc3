"""Every method of the registry in the same harness: it builds from the shipped params, trains, and adds up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.data.keys import seeded
from fkt.models.backbones import build_backbone
from fkt.models.classifier import Classifier
from fkt.params import SSL, CrossEntropy, Model, load_params
from fkt.ssl.base import Method, Setting
from fkt.ssl.methods import METHODS, build_method
from fkt.training.balance import Fixed, build_balance
from fkt.training.objectives import Functional, Pretrain, SupervisedLoss
from fkt.views.loader import Batch, Views
from tests.conftest import ROOT

SHIPPED = load_params(ROOT / "params.yaml").ssl
JOINT = load_params(ROOT / "params.yaml").joint
MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
LABELS = torch.tensor([0, 1, 2, -1, -1, -1])


def choice(name: str, *, rotation: bool = False) -> SSL:
    """The shipped section with another method."""
    content = SHIPPED.model_dump() | {"method": name, "label_fraction": 0.5 if name == "supcon" else 0.0}
    return SSL.model_validate(content | {"rotation_weight": 0.2 if rotation else 0.0, "rotation_hidden": 16})


def build(name: str, channels: int = 1, *, rotation: bool = False, seed: int = 0) -> Method:
    setting = Setting(num_images=24, batch_size=6, num_classes=3, image_size=16, channels=channels)
    with seeded(seed, "backbone"):
        backbone = build_backbone(MODEL, channels)
    with seeded(seed, "method"):
        return build_method(choice(name, rotation=rotation), backbone, setting)


def views(method: Method, channels: int = 1, step: int = 0, size: int = 6) -> Views:
    generator = torch.Generator().manual_seed(step)
    images = tuple(torch.randn(size, channels, 16, 16, generator=generator) for _ in range(method.num_views))
    return Views(images, LABELS[:size], torch.arange(size) + step, (0, "method", step))


def images_seen(method: Method, batch: Views) -> int:
    seen: list[int] = []
    handle = method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    method(batch)
    handle.remove()
    return sum(seen)


def test_the_registry_holds_every_name_that_params_allow() -> None:
    assert set(METHODS) == set(SHIPPED.sections)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_trains_alone_and_beside_cross_entropy(name: str, channels: int) -> None:
    method = build(name, channels)
    classifier = Classifier(method.backbone, 3)
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)
    joint = Functional(classifier, loss, method, Fixed(1.0), classify_views=False)
    for objective in (Pretrain(method), joint):
        optimizer = torch.optim.SGD(objective.parameters(), lr=0.01)
        for step, size in ((0, 6), (1, 6), (2, 4)):  # the last batch is a partial one
            images = torch.randn(size, channels, 16, 16)
            batch = Batch(views(method, channels, step, size), images, torch.arange(size) % 3)
            with torch.autocast("cpu", torch.bfloat16):
                found = objective.loss(batch)
            assert all(value.ndim == 0 and torch.isfinite(value) for value in found.values()), found
            found["total"].backward()
            gradient = method.backbone.conv1.weight.grad
            assert gradient is not None and gradient.abs().sum() > 0
            optimizer.step()
            optimizer.zero_grad()
            objective.after_step((step + 1) / 3)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_features_are_the_online_backbones_and_carry_its_gradient(name: str) -> None:
    method = build(name)
    seen = views(method)
    passes: list[tuple[Tensor, Tensor]] = []
    method.backbone.register_forward_hook(lambda _, inputs, made: passes.append((inputs[0], made)))
    output = method(seen)
    count = len(output.features)
    assert count == (6 if name == "moco" else method.num_views * 6), "moco's second view goes through the keys' network"
    whole = [one for one in passes if one[0].shape[-1] == 16]  # no tiles
    inputs, made = (torch.cat(parts)[:count] for parts in zip(*whole, strict=True))
    assert torch.equal(inputs, torch.cat(seen.images)[:count]), "view after view"
    assert torch.equal(made, output.features)
    assert output.features.requires_grad
    assert not any(value.requires_grad for value in output.logs.values())


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"jigsaw_pp", "pirl_jigsaw"}))  # these see tiles
def test_online_passes_are_the_images_that_the_backbone_sees(name: str) -> None:
    method = build(name)
    assert images_seen(method, views(method)) == method.online_passes * 6


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"rotation"}))
def test_rotation_can_be_added_to_any_other_method(name: str) -> None:
    plain, rotated = build(name), build(name, rotation=True)
    assert rotated.online_passes == plain.online_passes + plain.num_views
    output = rotated(views(rotated))
    torch.testing.assert_close(output.logs["base_loss"], plain(views(plain)).loss.detach())
    assert 0 <= output.logs["rotation_accuracy"] <= 1


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_losses_of_any_range_are_weighed_by_how_far_they_are_above_their_infimum(name: str, balance: str) -> None:
    method = build(name, rotation=name != "rotation")
    classifier = Classifier(method.backbone, 3)
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)
    section = JOINT.model_copy(update={"balance": balance})
    weighed = build_balance(section, 1.0, method.backbone.last_convolution.weight)
    joint = Functional(classifier, loss, method, weighed, classify_views=False)
    optimizer = torch.optim.SGD(joint.parameters(), lr=0.01)
    for step in range(3):
        found = joint.loss(Batch(views(method, step=step), torch.randn(6, 1, 16, 16), torch.arange(6) % 3))
        if step == 0:  # both balances start as the plain sum
            above = found["ssl"] - build(name).infimum
            assert above > 0
            torch.testing.assert_close(found["total"], found["ce"] + above)
        assert found["weight_ssl"] > 0 and found["weight_ce"] > 0
        found["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        joint.after_step((step + 1) / 3)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_goes_on_from_its_state_to_the_same_bits(name: str) -> None:
    def steps(method: Method, start: int, stop: int) -> Tensor:
        total = torch.zeros(())
        optimizer = torch.optim.SGD(method.parameters(), lr=0.05)
        for step in range(start, stop):
            total = method(views(method, step=step)).loss
            total.backward()
            optimizer.step()
            optimizer.zero_grad()
            method.after_step((step + 1) / 4)
        return total.detach()

    whole, first, second = build(name), build(name), build(name, seed=1)
    steps(whole, 0, 3)
    expected = steps(whole, 3, 4)
    steps(first, 0, 3)  # an odd number, where turns are taken
    second.load_state_dict(first.state_dict())
    assert torch.equal(steps(second, 3, 4), expected)
    for key, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key
