"""The comparison of the two losses' gradients: exact, and without a trace in what is trained."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.data.keys import seeded
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy
from fkt.ssl.methods import METHODS
from fkt.ssl.simclr import SimCLR
from fkt.training.balance import Fixed, GradNorm
from fkt.training.gradients import compare_gradients, gradients
from fkt.training.objectives import Functional, Pretrain, Supervised, SupervisedLoss
from fkt.views.loader import Batch
from tests.references import cosine
from tests.ssl.harness import build, views
from tests.training.joint_runs import BALANCES, NORMS, run
from tests.training.test_objectives import LABELS, PLAIN, SETTING, SIMCLR, batch, classifier, functional


def flat(backbone: nn.Module) -> list[float]:
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in backbone.parameters()]
    return [number for part in parts for number in part.flatten().tolist()]


@cache
def separately() -> tuple[list[float], list[float]]:
    """Gradients on the backbone of both losses, each from fresh weights and a backward pass of its own."""
    supervised = Supervised(classifier(), SupervisedLoss(PLAIN, LABELS, 3)).train()
    model = classifier()
    with seeded(0, "method"):
        pretrain = Pretrain(SimCLR(model.backbone, SIMCLR, SETTING)).train()
    for objective in (supervised, pretrain):
        objective.loss(batch())["total"].backward()
    return flat(supervised.model.backbone), flat(pretrain.model)


@pytest.mark.parametrize("name", [*BALANCES, "lambda = 0"])
def test_what_is_told_is_the_angle_and_the_ratio_of_the_two_gradients(name: str) -> None:
    objective = functional(BALANCES.get(name, lambda _: Fixed(0.0)), gradient_checks=1)
    objective.before_step(0, 1)
    found = objective.loss(batch())
    ce, ssl = separately()
    assert found["grad_cosine"].item() == pytest.approx(cosine(ce, ssl), abs=1e-5)
    norms = [sum(number**2 for number in gradient) ** 0.5 for gradient in (ce, ssl)]
    assert found["grad_norm_ratio"].item() == pytest.approx(norms[1] / norms[0], rel=1e-4)
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_gradients_of_known_losses_have_the_angle_that_is_drawn_on_paper() -> None:
    x, y = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    one, other = 3 * x[0], x[0] + x[1] + torch.tensor(0.5).sqrt() * 2 * y[0]
    found = compare_gradients(one, other, [x, y])
    assert found["grad_cosine"].item() == pytest.approx(0.5)
    assert found["grad_norm_ratio"].item() == pytest.approx(2 / 3)


def test_a_loss_without_a_gradient_has_no_angle() -> None:
    x = nn.Parameter(torch.ones(2))
    assert compare_gradients(0.0 * x.sum(), x.sum(), [x]) == {}
    assert compare_gradients(x.sum(), 0.0 * x.sum(), [x]) == {}


def test_gradients_inside_autocast_are_those_of_a_backward_pass_outside() -> None:
    def loss(layer: nn.Linear) -> Tensor:
        features = layer(torch.linspace(-1, 1, 24).reshape(4, 6))
        with torch.autocast("cpu", enabled=False):  # as losses do: in float32, whose backward pass must be too
            normalized = F.normalize(features.float(), dim=1)
            return (normalized @ normalized.T).logsumexp(dim=1).mean()

    with seeded(0, "test"):
        layer = nn.Linear(6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(loss(layer), list(layer.parameters()))
        later = loss(layer)
    later.backward()
    for gradient, parameter in zip(found, layer.parameters(), strict=True):
        assert parameter.grad is not None and torch.equal(gradient, parameter.grad)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*BALANCES, "lambda = 0", "views"])
def test_training_is_the_same_to_the_bit_with_and_without_checks(
    name: str, precision: torch.dtype, tmp_path: Path
) -> None:
    balance = BALANCES.get(name, lambda _: Fixed(0.0 if name == "lambda = 0" else 0.7))
    kept = {}
    for checks in (0, 3):
        objective = functional(balance, classify_views=name == "views", gradient_checks=checks)
        fitted = run(objective, tmp_path / f"{checks}.pt", steps=3, optimizer="adamw", precision=precision)
        assert ("grad_cosine" in fitted.rows[-1]) == bool(checks)
        kept[checks] = objective.state_dict()
    assert any(key.endswith("running_mean") for key in kept[0])
    for key, tensor in kept[0].items():
        assert torch.equal(tensor, kept[3][key]), key


@pytest.mark.parametrize(("checks", "told"), [(0, []), (1, [4]), (2, [2, 4]), (4, [1, 2, 3, 4]), (9, [1, 2, 3, 4])])
def test_checks_are_spread_over_the_run_and_rows_without_one_are_empty(
    checks: int, told: list[int], tmp_path: Path
) -> None:
    fitted = run(functional(1.0, gradient_checks=checks), tmp_path / "run.pt", steps=8)  # rows of two steps
    assert [number for number, row in enumerate(fitted.rows, 1) if "grad_cosine" in row] == told
    assert all(-1 <= row["grad_cosine"] <= 1 for row in fitted.rows if "grad_cosine" in row)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_can_be_balanced_and_compared(name: str) -> None:
    method = build(name)
    model = Classifier(method.backbone, 3)
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)
    balance = GradNorm(1.0, NORMS, model.backbone.last_convolution.weight)
    objective = Functional(model, loss, method, balance, classify_views=False, gradient_checks=1)
    images = torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    objective.before_step(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = objective.loss(Batch(views(method.num_views, batch=6), images, torch.arange(6) % 3))
    found["total"].backward()
    objective.after_step(1.0)
    assert -1 <= found["grad_cosine"] <= 1 and found["grad_norm_ratio"] > 0
    assert balance.weights.sum().item() == pytest.approx(2) and balance.weights[0] != 1
