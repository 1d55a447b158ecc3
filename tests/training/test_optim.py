"""LARS against another implementation and the slow reference; groups; the schedule."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from fkt.params import Training
from fkt.training.optim import LARS, build_optimizer, learning_rate
from tests import references


def section(**changes: object) -> Training:
    content: dict[str, object] = {
        "epochs": None,
        "batch_size": 8,
        "accumulate_steps": 1,
        "optimizer": "lars",
        "learning_rate": 0.5,
        "momentum": 0.9,
        "trust_coefficient": 0.01,
        "weight_decay": 0.1,
        "warmup_fraction": 0.0,
    }
    return Training.model_validate({**content, **changes})


def gradients(shape: tuple[int, ...], steps: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(steps)]


def test_lars_moves_weights_as_timm_does() -> None:
    from timm.optim import Lars

    start = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = LARS([ours], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)
    other = Lars([theirs], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coeff=0.01)
    for gradient in gradients((6, 5), 5):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
        torch.testing.assert_close(ours, theirs)


def test_lars_is_the_slow_reference() -> None:
    weight = nn.Parameter(torch.randn(1, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    expected, buffer = weight[0].tolist(), [0.0] * 4
    numbers = {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.05, "trust_coefficient": 0.02}
    optimizer = LARS([weight], eps=0.0, **numbers)
    for gradient in gradients((1, 4), 4):
        weight.grad = gradient.double()
        optimizer.step()
        expected, buffer = references.lars_step(expected, gradient[0].double().tolist(), buffer, **numbers)
        assert weight[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_a_lars_step_has_a_length_that_no_gradient_scale_changes() -> None:
    for scale in (1e-4, 1.0, 1e4):
        weight = nn.Parameter(torch.ones(3, 3))
        weight.grad = gradients((3, 3), 1)[0] * scale
        LARS([weight], lr=0.5, momentum=0.0, weight_decay=0.0, trust_coefficient=0.01).step()
        assert (weight - 1).norm().item() == pytest.approx(0.5 * 0.01 * 3, rel=1e-3)


def test_lars_treats_biases_as_plain_sgd_without_decay() -> None:
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    mine = LARS([ours], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)
    other = torch.optim.SGD([theirs], lr=0.5, momentum=0.9)
    for gradient in gradients((5,), 4):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_lars_leaves_a_weight_without_gradient_or_with_a_zero_one() -> None:
    untouched, unmoved = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    unmoved.grad = torch.zeros(2, 2)
    LARS([untouched, unmoved], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01).step()
    assert torch.equal(untouched, torch.ones(2, 2)) and torch.equal(unmoved, torch.ones(2, 2))


def test_lars_moves_a_zero_weight_by_its_gradient() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.full((2, 2), 3.0)
    LARS([weight], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01).step()
    assert torch.equal(weight, torch.full((2, 2), -1.5))


def test_lars_goes_on_from_its_saved_state() -> None:
    def run(split: bool) -> Tensor:
        weight = nn.Parameter(torch.ones(3, 3))
        optimizer = LARS([weight], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)
        for number, gradient in enumerate(gradients((3, 3), 4)):
            if split and number == 2:
                state = optimizer.state_dict()
                optimizer = LARS([weight], lr=9.0, momentum=0.0, weight_decay=0.0, trust_coefficient=1.0)
                optimizer.load_state_dict(state)
            weight.grad = gradient
            optimizer.step()
        return weight.detach()

    torch.testing.assert_close(run(split=True), run(split=False), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_only_matrices_decay(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    for parameter in module.parameters():
        nn.init.ones_(parameter)
        # not zero, where LARS decays nothing, and not along the weights, where its step has a length of its own
        parameter.grad = torch.linspace(-0.5, 1.0, parameter.numel()).view_as(parameter)
    plain = copy.deepcopy(module)
    for parameter, one in zip(plain.parameters(), module.parameters(), strict=True):
        parameter.grad = one.grad.clone() if one.grad is not None else None
    settings = {"optimizer": name, "trust_coefficient": 0.01, "learning_rate": 0.01}
    build_optimizer(module, section(weight_decay=0.5, **settings)).step()
    build_optimizer(plain, section(weight_decay=0.0, **settings)).step()
    for ours, other in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, other) == (ours.ndim == 1)


def test_frozen_parameters_are_not_the_optimizers_business() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    groups = build_optimizer(module, section()).param_groups
    assert [len(group["params"]) for group in groups] == [1, 0]


def test_the_rate_rises_linearly_to_the_peak_and_falls_along_a_cosine_to_zero() -> None:
    rates = [learning_rate(step, 100, 2.0, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0 and max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert learning_rate(30, 120, 1.0, 0.0) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_the_schedule_is_that_of_torch() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert learning_rate(step, 50, 0.7, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("kind", ["sgd", "adamw", "lars"])
def test_a_weight_whose_gradient_comes_late_moves_as_one_that_starts_then(kind: str) -> None:
    """As SwAV's prototypes do, which stand still at first."""
    late, alone = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    alone.load_state_dict(late.state_dict())
    both = nn.ModuleList([nn.Linear(3, 2, bias=False), late])
    together, apart = (build_optimizer(module, section(optimizer=kind)) for module in (both, alone))
    for number, gradient in enumerate(gradients((2, 3), 5)):
        both[0].weight.grad = gradient.clone()
        if number >= 2:
            late.weight.grad, alone.weight.grad = gradient.clone(), gradient.clone()
            apart.step()
        before = late.weight.detach().clone()
        together.step()
        assert torch.equal(late.weight, before) == (number < 2)
        torch.testing.assert_close(late.weight, alone.weight)
