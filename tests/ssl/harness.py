"""Small methods, views and training steps for the tests of the methods."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from fkt.data.keys import seeded
from fkt.models.backbones import ResNet, build_backbone
from fkt.params import CrossEntropy, Model
from fkt.params.methods import SECTIONS, TilesParams
from fkt.ssl.base import Method, Setting
from fkt.ssl.methods import METHODS
from fkt.ssl.rotation import WithRotation
from fkt.training.objectives import SupervisedLoss
from fkt.views.loader import Views

MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
SETTING = Setting(num_images=40, batch_size=8, num_classes=3, image_size=16, channels=1)
LABELS = torch.tensor([0, 1, 2, 0, 1, -1, -1, -1])

TILES = TilesParams(puzzle_size=24, tile_size=6, jitter=1, channel_shift=1)
HEAD: dict[str, Any] = {"projector_hidden": 16, "projector_size": 8}
BYOL: dict[str, Any] = {**HEAD, "predictor_hidden": 6, "tau": 0.9, "tau_schedule": "constant"}
PIRL: dict[str, Any] = {
    "embedding_size": 4,
    "temperature": 0.5,
    "num_negatives": 7,
    "bank_momentum": 0.5,
    "transformed_weight": 0.3,
    "loss": "nce",
}
SMALL: dict[str, dict[str, Any]] = {
    "simclr": {**HEAD, "temperature": 0.5, "false_negatives": "keep"},
    "moco": {
        **HEAD,
        "temperature": 0.2,
        "queue_size": 20,
        "tau": 0.9,
        "symmetric": False,
        "false_negatives": "keep",
    },
    "byol": BYOL,
    "simsiam": {**HEAD, "predictor_hidden": 6, "projector_layers": 2},
    "swav": {
        **HEAD,
        "prototypes": 6,
        "temperature": 0.1,
        "epsilon": 0.05,
        "sinkhorn_iterations": 3,
        "frozen_share": 0.0,
        "queue_size": 0,
        "queue_start": 0.0,
    },
    "barlow_twins": {**HEAD, "redundancy_weight": 0.005, "loss_scale": 0.1},
    "vicreg": {**HEAD, "invariance_weight": 25.0, "variance_weight": 25.0, "covariance_weight": 1.0},
    "supcon": {**HEAD, "temperature": 0.1},
    "tribyol": {**BYOL, "target_updates": "alternate"},
    "cross": {**BYOL, "teacher_view": "other"},
    "pirl_jigsaw": {**PIRL, "tiles": TILES},
    "pirl_rotation": PIRL,
    "rotation": {"rotated_copies": 1, "hidden": 8},
    "jigsaw_pp": {
        "tiles": TILES,
        "num_permutations": 5,
        "permutation_seed": 0,
        "max_foreign": 2,
        "gray_probability": 0.5,
        "projection_probability": 0.5,
        "tile_embedding": 6,
        "hidden": 8,
    },
}


def backbone(channels: int = 1) -> ResNet:
    with seeded(0, "backbone"):
        return build_backbone(MODEL, channels).train()


def build(
    name: str,
    setting: Setting = SETTING,
    *,
    body: ResNet | None = None,
    rotation_weight: float | None = None,
    **changes: Any,
) -> Any:
    """A method in train mode with the same weights each time. changes: to its small section."""
    section = SECTIONS[name].model_validate(SMALL[name] | changes)
    body = body or backbone(setting.channels)
    with seeded(0, "method"):
        method = METHODS[name](body, section, setting)
        if rotation_weight is not None:
            method = WithRotation(method, rotation_weight, 8)
    return method.train()


def views(num_views: int, seed: int = 0, *, batch: int = 8, channels: int = 1, size: int = 16) -> Views:
    """Noisy copies of random images; the labels are known for five of eight images."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(batch, channels, size, size, generator=generator)
    images = tuple(base + 0.3 * torch.randn(base.shape, generator=generator) for _ in range(num_views))
    ids = torch.randperm(SETTING.num_images, generator=generator)[:batch]
    return Views(images, LABELS.repeat(1 + batch // 8)[:batch], ids, (0, "method", seed))


def reordered(made: Views, *order: int) -> Views:
    """The same batch with its views in another order, or with repeated views."""
    return replace(made, images=tuple(made.images[view] for view in order))


def unlabelled(made: Views) -> Views:
    return replace(made, labels=torch.full_like(made.labels, -1))


def optimizer_of(module: nn.Module, lr: float = 0.05) -> SGD:
    return SGD([parameter for parameter in module.parameters() if parameter.requires_grad], lr=lr, momentum=0.9)


def train(method: Method, optimizer: torch.optim.Optimizer, seeds: range, steps: int = 20) -> list[float]:
    """Take one step for each seed and return the losses."""
    losses = []
    for seed in seeds:
        output = method(views(method.num_views, seed))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step((seed + 1) / steps)
        losses.append(output.loss.item())
    return losses


def gradients(method: Method, made: Views) -> dict[str, Tensor]:
    method.zero_grad(set_to_none=True)
    method(made).loss.backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def disturb(module: nn.Module, seed: int = 1) -> None:
    """Add noise to all parameters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def supervised_loss() -> SupervisedLoss:
    return SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)


def random_pair(
    num_images: int = 8, size: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, num_images, size, generator=generator, dtype=dtype)
    return first, second
