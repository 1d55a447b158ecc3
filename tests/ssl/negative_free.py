"""What the tests of one method share: a small network, batches, steps of both objectives, and a resumed run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fkt.data.keys import seeded
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy, Model
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.training.balance import Fixed
from fkt.training.objectives import Functional, Objective, Pretrain, SupervisedLoss
from fkt.views.loader import Batch, Views

MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
LABELS = torch.tensor([0, 1, 2, 0, 1, -1, -1, -1])
Make = Callable[[ResNet], Method]


def setting() -> Setting:
    return Setting(num_images=64, batch_size=8, num_classes=3, image_size=16, channels=1)


def views(step: int = 0, size: int = 8, channels: int = 1, side: int = 16) -> Views:
    generator = torch.Generator().manual_seed(step)
    images = tuple(torch.randn(size, channels, side, side, generator=generator) for _ in range(2))
    return Views(images, LABELS.repeat(1 + size // 8)[:size], torch.arange(size), (0, "test", step))


def pair(num_images: int, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(2, num_images, size, generator=generator, dtype=dtype)
    return made[0], made[1]


def hadamard(count: int) -> Tensor:
    """(count, count) of +-1 with orthogonal columns, count a power of 2; every column but the first has mean 0."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < count:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def fresh(make: Make, seed: int = 0, channels: int = 1) -> Method:
    with seeded(seed, "method"):
        return make(build_backbone(MODEL, channels))


def objectives(make: Make) -> list[Objective]:
    with seeded(0, "objectives"):
        classifier = Classifier(build_backbone(MODEL, 1), 3)
        method = make(classifier.backbone)
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), LABELS[:5], 3)
    return [
        Functional(classifier, loss, method, Fixed(1.0), classify_views=False),
        Pretrain(fresh(make)),
    ]


def check_steps_under_autocast(make: Make, names: set[str]) -> None:
    """Two steps of SGD of each objective in bf16; all moves, all is finite, and the logs are as named."""
    for objective in objectives(make):
        optimizer = torch.optim.SGD(objective.parameters(), lr=0.01)
        before = {name: parameter.detach().clone() for name, parameter in objective.named_parameters()}
        for step in range(2):
            seen = views(step)
            with torch.autocast("cpu", torch.bfloat16):
                losses = objective.loss(Batch(seen, seen.images[0][:5], LABELS[:5]))
            losses["total"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            objective.after_step((step + 1) / 2)
            assert names <= losses.keys()
            assert losses["ssl"].dtype == torch.float32
            for name, value in losses.items():
                assert value.ndim == 0 and value.isfinite(), name
                assert name == "total" or not value.requires_grad, name
        for name, parameter in objective.named_parameters():
            assert (parameter != before[name]).any(), name


def step_once(method: Method, optimizer: torch.optim.Optimizer, step: int, of: int) -> SSLOutput:
    output: SSLOutput = method(views(step))
    output.loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    method.after_step((step + 1) / of)
    return output


def check_resume(make: Make, steps: int = 2, of: int = 4) -> None:
    """A method built anew and given the state of another goes on as the other does."""
    straight = fresh(make)
    optimizer = torch.optim.SGD(straight.parameters(), lr=0.01)
    for step in range(steps):
        step_once(straight, optimizer, step, of)
    resumed = fresh(make, seed=1)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in straight.state_dict().items()})
    other = torch.optim.SGD(resumed.parameters(), lr=0.01)
    for step in range(steps, of):
        expected, found = step_once(straight, optimizer, step, of), step_once(resumed, other, step, of)
        torch.testing.assert_close(found.loss, expected.loss, rtol=0, atol=0)
    for name, tensor in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def check_features(make: Make) -> None:
    """The features are the backbone's, view after view, with gradient; for any batch, channels and size."""
    for size, channels, side in ((2, 1, 16), (3, 3, 17), (9, 1, 24)):
        method = fresh(make, channels=channels)
        seen = views(0, size, channels, side)
        expected = fresh(make, channels=channels).backbone(torch.cat(seen.images))
        output = method(seen)
        torch.testing.assert_close(output.features, expected)
        assert output.features.requires_grad and output.loss.isfinite() and output.loss.ndim == 0
