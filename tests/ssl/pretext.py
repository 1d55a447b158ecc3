"""What the tests of the rotation and puzzle methods share: a small backbone, views, and what every method must do."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from fkt.data.keys import seeded
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy, Model
from fkt.params.methods_pretext import TilesParams
from fkt.ssl.base import Method, Setting
from fkt.training.balance import Fixed
from fkt.training.objectives import Functional, Objective, Pretrain, SupervisedLoss
from fkt.views.loader import Batch, Views

MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
TILES = TilesParams(puzzle_size=24, tile_size=6, jitter=1, channel_shift=1)
COUNT = 8
Build = Callable[[ResNet, Setting], Method]


def setting(channels: int = 1, size: int = 16) -> Setting:
    return Setting(num_images=20, batch_size=COUNT, num_classes=3, image_size=size, channels=channels)


def make_backbone(channels: int = 1) -> ResNet:
    with seeded(0, "backbone"):
        return build_backbone(MODEL, channels)


def make(build: Build, channels: int = 1, size: int = 16) -> Method:
    """The method on a fresh backbone; the same weights each time."""
    backbone = make_backbone(channels)
    with seeded(0, "method"):
        return build(backbone, setting(channels, size)).train()


def make_views(num_views: int = 1, count: int = COUNT, *, channels: int = 1, size: int = 16, step: int = 0) -> Views:
    generator = torch.Generator().manual_seed(step)
    images = tuple(torch.randn(count, channels, size, size, generator=generator) for _ in range(num_views))
    ids = torch.randperm(20, generator=generator)[:count]
    return Views(images, torch.arange(count) % 3, ids, (0, "method", step))


def gradients(method: Method, views: Views) -> dict[str, Tensor]:
    """Of the method's loss, for all that it trains."""
    method.zero_grad(set_to_none=True)
    method(views).loss.backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def step(objective: Objective, optimizer: torch.optim.Optimizer, number: int, method: Method) -> dict[str, Tensor]:
    views = make_views(method.num_views, step=number)
    batch = Batch(views, views.images[0], torch.arange(COUNT) % 3)
    with torch.autocast("cpu", torch.bfloat16):
        parts = objective.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    parts["total"].backward()
    optimizer.step()
    objective.after_step((number + 1) / 4)
    return parts


def check_contract(build: Build, channels: int, size: int, count: int) -> None:
    """Loss, features and logs have the shapes, types and gradients that they owe, and every weight is trained."""
    method = make(build, channels, size)
    views = make_views(method.num_views, count, channels=channels, size=size)
    output = method(views)
    assert output.loss.ndim == 0 and output.loss.dtype == torch.float32 and output.loss.isfinite()
    assert output.features.shape == (method.num_views * count, method.backbone.feature_size)
    assert output.features.requires_grad
    for name, value in output.logs.items():
        assert value.ndim == 0 and not value.requires_grad and value.isfinite(), name
    output.loss.backward()
    missing = [name for name, parameter in method.named_parameters() if parameter.grad is None]
    assert not missing


def check_end_to_end(build: Build) -> None:
    """Two SGD steps alone and jointly, under bfloat16; resuming in between changes nothing."""
    for joint in (False, True):
        results = []
        for resumed in (False, True):
            objective, method = _objective(build, joint)
            optimizer = torch.optim.SGD(objective.parameters(), lr=0.05, momentum=0.9)
            step(objective, optimizer, 0, method)
            if resumed:
                saved = copy.deepcopy((objective.state_dict(), optimizer.state_dict()))
                objective, method = _objective(build, joint, seed=9)
                optimizer = torch.optim.SGD(objective.parameters(), lr=0.05, momentum=0.9)
                objective.load_state_dict(saved[0])
                optimizer.load_state_dict(saved[1])
            parts = step(objective, optimizer, 1, method)
            assert all(value.isfinite() for value in parts.values())
            results.append((parts, objective.state_dict()))
        for one, other in zip(*results, strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)


def _objective(build: Build, joint: bool, seed: int = 0) -> tuple[Objective, Method]:
    with seeded(seed, "objective"):
        classifier = Classifier(build_backbone(MODEL, 1), 3)
        method = build(classifier.backbone, setting())
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)
    objective: Objective = Pretrain(method)
    if joint:
        objective = Functional(classifier, loss, method, Fixed(1.0), classify_views=True)
    return objective.train(), method
