"""Targets as moving averages in closed form, and what all methods that follow themselves must hold to."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy
from fkt.ssl.base import Method, Setting
from fkt.ssl.byol import BYOL
from fkt.ssl.cross import Cross
from fkt.ssl.heads import mlp
from fkt.ssl.moco import MoCo
from fkt.ssl.momentum import Target, tau_at
from fkt.ssl.simsiam import SimSiam
from fkt.ssl.tribyol import TriBYOL
from fkt.training.balance import Fixed
from fkt.training.objectives import Functional, Pretrain, SupervisedLoss
from fkt.views.loader import Batch
from tests.ssl.siamese import backbone, build, disturb, optimizer_of, train, views

CASES: list[tuple[type[Method], dict[str, Any]]] = [
    (BYOL, {}),
    (BYOL, {"tau_schedule": "cosine"}),
    (SimSiam, {}),
    (SimSiam, {"projector_layers": 3}),
    (MoCo, {}),
    (MoCo, {"symmetric": True}),
    (TriBYOL, {}),
    (TriBYOL, {"target_updates": "both", "tau_schedule": "cosine"}),
    (TriBYOL, {"target_updates": "shared"}),
    (Cross, {}),
    (Cross, {"teacher_view": "same", "tau_schedule": "cosine"}),
]
IDS = ["-".join([kind.__name__, *(str(value) for value in changes.values())]) for kind, changes in CASES]
every_method = pytest.mark.parametrize(("kind", "changes"), CASES, ids=IDS)


def flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def moved_pair() -> tuple[nn.Module, Target]:
    online = nn.Linear(4, 3)
    target = Target(online)
    disturb(target.network)
    return online, target


@pytest.mark.parametrize("tau", [0.0, 0.5, 0.99, 1.0])
def test_the_target_closes_in_on_an_online_network_that_rests(tau: float) -> None:
    online, target = moved_pair()
    theta, start = flat(online), flat(target)
    for _ in range(5):
        target.follow(online, tau)
    torch.testing.assert_close(flat(target), theta + tau**5 * (start - theta))
    torch.testing.assert_close(flat(online), theta, rtol=0, atol=0)


def test_tau_one_stays_and_tau_zero_copies_to_the_bit() -> None:
    online, target = moved_pair()
    start = flat(target)
    target.follow(online, 1.0)
    assert torch.equal(flat(target), start)
    target.follow(online, 0.0)
    assert torch.equal(flat(target), flat(online))


def test_the_cosine_schedule_is_byols_and_its_ends_are_exact_and_a_constant_stays() -> None:
    assert tau_at(0.99, "cosine", 0.0) == 0.99
    assert tau_at(0.99, "cosine", 1.0) == 1.0
    assert tau_at(0.9, "cosine", 0.5) == pytest.approx(0.95)
    for step in range(11):
        expected = 1 - (1 - 0.9) * (math.cos(math.pi * step / 10) + 1) / 2
        assert tau_at(0.9, "cosine", step / 10) == pytest.approx(expected)
        assert tau_at(0.9, "constant", step / 10) == 0.9


@pytest.mark.parametrize(("tau", "steps"), [(0.99, 69), (0.996, 173), (0.999, 693)])
def test_half_of_the_way_takes_the_half_life(tau: float, steps: int) -> None:
    online, target = nn.Linear(1, 1, bias=False).double(), Target(nn.Linear(1, 1, bias=False).double())
    with torch.no_grad():
        online.weight.fill_(1.0)
        target.network.weight.fill_(0.0)  # type: ignore[operator, union-attr]
    for _ in range(steps):
        target.follow(online, tau)
    assert flat(target).item() == pytest.approx(0.5, abs=0.003)


def test_a_target_normalizes_by_its_own_batch() -> None:
    online = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False))
    target = Target(online).train()
    for part in torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(0)) * 5:
        torch.testing.assert_close(target(part).mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_head_has_its_layers_and_no_bias_that_normalization_takes_away(layers: int) -> None:
    head = mlp(4, 6, 5, layers=layers, batch_norm=True, last_norm=True)
    linear = [module for module in head if isinstance(module, nn.Linear)]
    assert len(linear) == layers and all(module.bias is None for module in linear)
    assert sum(isinstance(module, nn.BatchNorm1d) for module in head) == layers
    out = head(torch.randn(32, 4))
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)
    plain = mlp(4, 6, 5, layers=layers, batch_norm=False, last_norm=False)
    assert all(module.bias is not None for module in plain if isinstance(module, nn.Linear))
    assert not isinstance(plain[-1], nn.ReLU)


def test_a_head_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 layer, not 0"):
        mlp(4, 6, 5, layers=0, batch_norm=True, last_norm=False)


@every_method
def test_no_gradient_reaches_a_target_and_all_else_is_trained(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    method(views(method.num_views)).loss.backward()
    followers = [module for module in method.modules() if isinstance(module, Target)]
    frozen = {id(parameter) for follower in followers for parameter in follower.parameters()}
    assert bool(frozen) == (kind is not SimSiam)
    for name, parameter in method.named_parameters():
        assert parameter.requires_grad == (id(parameter) not in frozen), name
        assert (parameter.grad is None) == (id(parameter) in frozen), name


@every_method
def test_features_are_the_online_networks_view_after_view(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    made = views(method.num_views)
    output = method(made)
    expected = [copy.deepcopy(method.backbone)(view) for view in made.images[: method.online_passes]]
    torch.testing.assert_close(output.features, torch.cat(expected))
    assert output.features.requires_grad


@every_method
def test_the_passes_that_are_counted_are_those_that_are_made(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    seen = {True: 0, False: 0}

    def count(module: nn.Conv2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen[module.weight.requires_grad] += len(inputs[0])

    for name, module in method.named_modules():
        if name.endswith(("backbone.conv1", "network.0.conv1")):
            module.register_forward_hook(count)
    method(views(method.num_views))
    assert seen == {True: 8 * method.online_passes, False: 8 * method.target_passes}


@every_method
def test_logs_are_finite_scalars_without_gradient(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    logs = method(views(method.num_views)).logs
    assert {"projection_std", "projection_rank"} <= logs.keys()
    for name, value in logs.items():
        assert value.shape == () and value.isfinite() and not value.requires_grad, name


@every_method
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    optimizer = optimizer_of(method)
    train(method, optimizer, range(3))
    resumed = build(kind, **changes)
    disturb(resumed)
    resumed.load_state_dict(copy.deepcopy(method.state_dict()))
    again = optimizer_of(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(resumed, again, range(3, 6)) == train(method, optimizer, range(3, 6))
    for name, tensor in method.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@every_method
def test_forward_alone_changes_nothing_but_running_statistics(kind: type[Method], changes: dict[str, Any]) -> None:
    method = build(kind, **changes)
    before = copy.deepcopy(method.state_dict())
    method(views(method.num_views))
    for name, tensor in method.state_dict().items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(tensor, before[name]), name


@every_method
@pytest.mark.parametrize("joint", [True, False])
def test_two_steps_in_half_precision_run_end_to_end(kind: type[Method], changes: dict[str, Any], joint: bool) -> None:
    setting = Setting(num_images=40, batch_size=6, num_classes=3, image_size=20, channels=3)
    model = Classifier(backbone(3), 3)
    method = build(kind, model.backbone, setting, **changes)
    cross_entropy = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(3), 3)
    objective = (
        Functional(model, cross_entropy, method, Fixed(1.0), classify_views=False) if joint else Pretrain(method)
    )
    optimizer = optimizer_of(objective)
    before = flat(objective.model)
    for step, size in enumerate((6, 5)):  # the last batch may be smaller
        made = views(method.num_views, step, batch=size, channels=3, size=20)
        with torch.autocast("cpu", torch.bfloat16):
            losses = objective.loss(Batch(made, made.images[0], made.labels))
        assert losses["total"].dtype == torch.float32
        assert all(value.isfinite() for value in losses.values())
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step((step + 1) / 2)
    assert not torch.equal(before, flat(objective.model))
    assert all(parameter.isfinite().all() for parameter in objective.parameters())
