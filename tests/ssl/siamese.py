"""What the tests of the methods that follow themselves share: their params, a small network, views, and steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.optim import SGD

from fkt.data.keys import seeded
from fkt.models.backbones import ResNet, build_backbone
from fkt.params import Model
from fkt.params.methods_contrastive import MoCoParams
from fkt.params.methods_momentum import BYOLParams, CrossParams, SimSiamParams, TriBYOLParams
from fkt.ssl.base import Method, Setting
from fkt.ssl.byol import BYOL
from fkt.ssl.cross import Cross
from fkt.ssl.moco import MoCo
from fkt.ssl.simsiam import SimSiam
from fkt.ssl.tribyol import TriBYOL
from fkt.views.loader import Views

MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
SETTING = Setting(num_images=40, batch_size=8, num_classes=3, image_size=16, channels=1)
HEADS = {"projector_hidden": 16, "projector_size": 8, "predictor_hidden": 6}
TAU = {"tau": 0.9, "tau_schedule": "constant"}
PARAMS: dict[type[Method], Any] = {
    BYOL: BYOLParams(**HEADS, **TAU),
    SimSiam: SimSiamParams(**HEADS, projector_layers=2),
    MoCo: MoCoParams(
        projector_hidden=16,
        projector_size=8,
        temperature=0.2,
        queue_size=20,
        tau=0.9,
        symmetric=False,
        false_negatives="keep",
    ),
    TriBYOL: TriBYOLParams(**HEADS, **TAU, target_updates="alternate"),
    Cross: CrossParams(**HEADS, **TAU, teacher_view="other"),
}


def backbone(channels: int = 1) -> ResNet:
    with seeded(0, "backbone"):
        return build_backbone(MODEL, channels)


def build(kind: type[Method], body: ResNet | None = None, setting: Setting = SETTING, **changes: Any) -> Any:
    """A method in train mode, the same each time; ``changes`` are to its params."""
    params = PARAMS[kind].model_copy(update=changes)
    body = body or backbone(setting.channels)
    with seeded(0, "method"):
        return kind(body, params, setting).train()  # type: ignore[call-arg, arg-type]


def views(num_views: int, seed: int = 0, *, batch: int = 8, channels: int = 1, size: int = 16) -> Views:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(batch, channels, size, size, generator=generator)
    images = tuple(base + 0.3 * torch.randn(base.shape, generator=generator) for _ in range(num_views))
    return Views(images, torch.arange(batch) % 3, torch.arange(batch), (seed, "test"))


def reordered(made: Views, *order: int) -> Views:
    """The same batch with its views in another order, or some of them twice."""
    return replace(made, images=tuple(made.images[view] for view in order))


def optimizer_of(module: nn.Module, lr: float = 0.05) -> SGD:
    return SGD([parameter for parameter in module.parameters() if parameter.requires_grad], lr=lr, momentum=0.9)


def train(method: Method, optimizer: SGD, seeds: range, steps: int = 20) -> list[float]:
    """Take a step for each seed, as the loop does; return the losses."""
    losses = []
    for seed in seeds:
        output = method(views(method.num_views, seed))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step((seed + 1) / steps)
        losses.append(output.loss.item())
    return losses


def disturb(module: nn.Module, seed: int = 1) -> None:
    """Move all parameters by noise, so that what was equal is not."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
