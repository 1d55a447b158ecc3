"""Momentum targets in closed form, the heads, BYOL and Cross."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import byol_loss, embedding_health
from fkt.ssl.momentum import Target, tau_at
from tests import references_losses as references
from tests.ssl.harness import build, disturb, flat, optimizer_of, reordered, train, views

MOMENTUM = ["byol", "moco", "tribyol", "cross"]


@pytest.mark.parametrize("tau", [0.0, 0.5, 0.99, 1.0])
def test_a_target_approaches_an_online_network_that_does_not_move(tau: float) -> None:
    online = nn.Linear(4, 3)
    target = Target(online)
    disturb(target.network)
    theta, start = flat(online), flat(target)
    for _ in range(5):
        target.follow(online, tau)
    exact = {"rtol": 0, "atol": 0} if tau in (0.0, 1.0) else {}
    expected = {0.0: theta, 1.0: start}.get(tau, theta + tau**5 * (start - theta))
    torch.testing.assert_close(flat(target), expected, **exact)
    assert torch.equal(flat(online), theta)


@pytest.mark.parametrize(("tau", "steps"), [(0.99, 69), (0.996, 173), (0.999, 693)])
def test_half_of_the_way_takes_the_half_life(tau: float, steps: int) -> None:
    online = nn.Linear(1, 1, bias=False).double()
    target = Target(online)
    nn.init.ones_(online.weight)
    nn.init.zeros_(target.network.weight)
    for _ in range(steps):
        target.follow(online, tau)
    assert flat(target).item() == pytest.approx(0.5, abs=0.003)


def test_the_cosine_schedule_of_tau_is_that_of_byol_and_ends_at_1() -> None:
    assert tau_at(0.99, "cosine", 0.0) == 0.99
    assert tau_at(0.99, "cosine", 1.0) == 1.0
    for step in range(11):
        expected = 1 - (1 - 0.9) * (math.cos(math.pi * step / 10) + 1) / 2
        assert tau_at(0.9, "cosine", step / 10) == pytest.approx(expected)
        assert tau_at(0.9, "constant", step / 10) == 0.9


def test_a_target_normalizes_by_the_statistics_of_its_own_batch() -> None:
    target = Target(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False))).train()
    for part in torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(0)) * 5:
        torch.testing.assert_close(target(part).mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_heads_have_their_layers_and_no_bias_before_a_batch_norm(layers: int) -> None:
    head = mlp(4, 6, 5, layers=layers, last_norm=True)
    linear = [module for module in head if isinstance(module, nn.Linear)]
    assert len(linear) == layers and all(module.bias is None for module in linear)
    assert sum(isinstance(module, nn.BatchNorm1d) for module in head) == layers
    torch.testing.assert_close(head(torch.randn(32, 4)).mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)
    plain = mlp(4, 6, 5, layers=layers, batch_norm=False)
    assert all(module.bias is not None for module in plain if isinstance(module, nn.Linear))
    assert not isinstance(plain[-1], nn.ReLU)


@pytest.mark.parametrize("name", MOMENTUM)
def test_a_target_starts_as_a_copy_of_backbone_and_projector_and_follows_them(name: str) -> None:
    method = build(name)
    parts = {key.split(".")[0] for key in method.state_dict() if "." in key}
    assert parts <= {"backbone", "projector", "predictor", "target", "second_target"}, "no weight has two names"
    online = torch.cat([flat(method.backbone), flat(method.projector)])
    assert torch.equal(flat(method.target), online)
    train(method, optimizer_of(method), range(1))
    moved = torch.cat([flat(method.backbone), flat(method.projector)])
    assert not torch.equal(moved, online)
    torch.testing.assert_close(flat(method.target), 0.9 * online + 0.1 * moved)


@pytest.mark.parametrize("name", ["byol", "tribyol", "cross"])
@pytest.mark.parametrize(("schedule", "moves"), [("cosine", False), ("constant", True)])
def test_a_target_with_a_cosine_schedule_does_not_move_at_the_end(name: str, schedule: str, moves: bool) -> None:
    method = build(name, tau_schedule=schedule)
    disturb(method.target)
    before = flat(method.target)
    method.after_step(1.0)
    assert torch.equal(flat(method.target), before) != moves


def test_with_tau_0_the_target_agrees_and_with_tau_1_it_stays_behind() -> None:
    cosines = {}
    for tau in (0.0, 1.0):
        method = build("byol", tau=tau)
        train(method, optimizer_of(method), range(4))
        cosines[tau] = method(views(2)).logs["target_cosine"].item()
    assert cosines[0.0] == pytest.approx(1.0, abs=1e-5)
    assert cosines[1.0] < 0.99


@pytest.mark.parametrize(
    ("name", "changes"), [("byol", {}), ("cross", {}), ("cross", {"teacher_view": "same"}), ("simsiam", {})]
)
def test_the_loss_is_that_of_the_paper_and_the_order_of_the_views_does_not_matter(
    name: str, changes: dict[str, Any]
) -> None:
    made, methods = views(2), [build(name, **changes) for _ in range(3)]
    for method in methods if name != "simsiam" else []:
        disturb(method.target)
    copied = methods[0]
    z = [copied.projector(copied.backbone(view)) for view in made.images]
    p = [copied.predictor(view).tolist() for view in z]
    z = [view.tolist() for view in z]
    distance = references.squared_distance
    student = distance(p[0], z[1]) + distance(p[1], z[0])
    terms = {}
    if name == "simsiam":
        expected, bounds = student / 4 - 1, (-1, 1)  # the mean of -cos = |p - z|^2 / 2 - 1
    else:
        t = [copied.target(view).tolist() for view in made.images]
        seen = t if changes else t[::-1]
        teacher = distance(p[0], seen[0]) + distance(p[1], seen[1])
        expected, bounds = teacher, (0, 8)
        if name == "cross":
            expected = student / 2 + teacher / 2
            terms = {"cross_view": student / 2, "cross_model": teacher / 2}
    output = methods[1](made)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert bounds[0] == copied.lower_bound and bounds[0] <= output.loss <= bounds[1]
    for key, value in terms.items():
        assert output.logs[key].item() == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(methods[2](reordered(made, 1, 0)).loss, output.loss)


def test_while_teacher_and_student_are_equal_cross_has_the_loss_and_the_gradient_of_byol() -> None:
    cross, byol = build("cross"), build("byol")
    losses = [method(views(2)).loss for method in (cross, byol)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (key, mine), theirs in zip(cross.named_parameters(), byol.parameters(), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=key)


def test_the_distance_is_0_for_parallel_2_for_orthogonal_and_4_for_opposite_vectors() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    for other, value in ((3 * eye, 0.0), (eye.roll(1, 0), 2.0), (-eye, 4.0)):
        assert byol_loss(eye, other).item() == pytest.approx(value)


def test_health_distinguishes_a_cloud_a_line_and_a_point() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(512, 16, generator=generator)
    found = embedding_health(cloud)
    assert found["projection_std"].item() == pytest.approx(1.0, abs=0.02)
    assert found["projection_rank"].item() > 14
    line = embedding_health(torch.randn(512, 1, generator=generator).sign() * cloud[:1])
    assert line["projection_std"] > 0.7
    assert line["projection_rank"].item() == pytest.approx(1.0, abs=1e-3)
    point = embedding_health(torch.ones(512, 16))
    assert point["projection_std"].item() == pytest.approx(0.0, abs=1e-5)
    assert point["projection_rank"].isfinite()
