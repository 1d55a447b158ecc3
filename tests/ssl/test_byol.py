"""BYOL's loss in closed form and against other code, and what its target is made of."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.byol import BYOL
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from tests import references_momentum as references
from tests.ssl.siamese import build, optimizer_of, reordered, train, views


def pair(num_images: int = 8, size: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    p, z = torch.randn(2, num_images, size, generator=generator, dtype=dtype)
    return p, z


def test_the_loss_is_the_squared_distance_of_unit_vectors() -> None:
    p, z = pair()
    assert byol_loss(p, z).item() == pytest.approx(references.squared_distance(p.tolist(), z.tolist()))
    distance = (F.normalize(p) - F.normalize(z)).square().sum(dim=1).mean()
    torch.testing.assert_close(byol_loss(p, z), distance)


def test_the_loss_is_0_for_parallel_2_for_orthogonal_and_4_for_opposite_vectors() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    assert byol_loss(eye, 3 * eye).item() == pytest.approx(0.0)
    assert byol_loss(eye, eye.roll(1, 0)).item() == pytest.approx(2.0)
    assert byol_loss(eye, -eye).item() == pytest.approx(4.0)


def test_the_scale_of_either_side_does_not_matter() -> None:
    p, z = pair()
    scales = torch.rand(8, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(byol_loss(p * scales, z), byol_loss(p, z))
    torch.testing.assert_close(byol_loss(p, z * scales), byol_loss(p, z))


def test_value_and_gradient_are_those_of_lightly_up_to_its_scale() -> None:
    from lightly.loss import NegativeCosineSimilarity

    p, z = pair(dtype=torch.float32)
    ours, theirs = p.clone().requires_grad_(), p.clone().requires_grad_()
    loss, expected = byol_loss(ours, z), 2 + 2 * NegativeCosineSimilarity()(theirs, z)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_gradient_is_the_numerical_one() -> None:
    p, z = (side.requires_grad_() for side in pair(4, 3))
    assert torch.autograd.gradcheck(byol_loss, (p, z))


def test_half_precision_is_compared_in_float32_under_autocast() -> None:
    p, z = (side.bfloat16() for side in pair(dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        loss = byol_loss(p, z)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, byol_loss(p.float(), z.float()))


def test_sides_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(4, 2\)"):
        negative_cosine(torch.zeros(4, 3), torch.zeros(4, 2))


def test_health_tells_a_cloud_from_a_line_from_a_point() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(512, 16, generator=generator)
    found = embedding_health(cloud)
    assert found["projection_std"].item() == pytest.approx(1.0, abs=0.02)
    assert found["projection_rank"].item() > 14
    signs = torch.randn(512, 1, generator=generator).sign()
    line = embedding_health(signs * cloud[:1])
    assert line["projection_std"] > 0.7
    assert line["projection_rank"].item() == pytest.approx(1.0, abs=1e-3)
    point = embedding_health(torch.ones(512, 16))
    assert point["projection_std"].item() == pytest.approx(0.0, abs=1e-5)
    assert point["projection_rank"].isfinite()


def test_both_directions_are_summed_and_the_order_of_the_views_does_not_matter() -> None:
    made = views(2)
    method = build(BYOL)
    follower, online = copy.deepcopy(method.target.network), copy.deepcopy(method)
    p = [online.predictor(online.projector(online.backbone(view))).tolist() for view in made.images]
    z = [follower(view).tolist() for view in made.images]
    expected = references.squared_distance(p[0], z[1]) + references.squared_distance(p[1], z[0])
    loss = method(made).loss
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert 0 <= loss <= 8
    torch.testing.assert_close(build(BYOL)(reordered(made, 1, 0)).loss, loss)


def test_the_target_starts_as_the_online_network_and_has_no_predictor() -> None:
    method = build(BYOL)
    names = {name for name, _ in method.named_parameters() if name.startswith("target.")}
    assert names and not any("predictor" in name for name in names)
    online = [*method.backbone.parameters(), *method.projector.parameters()]
    assert len(names) == len(online)
    for mine, theirs in zip(method.target.parameters(), online, strict=True):
        assert torch.equal(mine, theirs) and mine.data_ptr() != theirs.data_ptr()


def test_no_weight_is_named_twice() -> None:
    method = build(BYOL)
    train(method, optimizer_of(method), range(1))
    assert {name.split(".")[0] for name in method.state_dict()} == {"backbone", "projector", "predictor", "target"}


@pytest.mark.parametrize(("schedule", "moves"), [("cosine", False), ("constant", True)])
def test_at_the_end_of_the_run_a_scheduled_target_rests(schedule: str, moves: bool) -> None:
    method = build(BYOL, tau_schedule=schedule)
    train(method, optimizer_of(method), range(1))
    before = copy.deepcopy(method.target.network)
    method.after_step(1.0)
    same = [torch.equal(a, b) for a, b in zip(before.parameters(), method.target.parameters(), strict=True)]
    assert all(same) != moves


def test_the_target_is_tau_of_itself_and_the_rest_of_the_stepped_network() -> None:
    method = build(BYOL)
    start = method.projector[0].weight.detach().clone()
    train(method, optimizer_of(method), range(1))
    now = method.projector[0].weight.detach()
    assert not torch.equal(start, now)
    torch.testing.assert_close(method.target.network[1][0].weight, 0.9 * start + 0.1 * now)


def test_with_tau_0_the_target_agrees_and_with_tau_1_it_is_left_behind() -> None:
    cosines = {}
    for tau in (0.0, 1.0):
        method = build(BYOL, tau=tau)
        train(method, optimizer_of(method), range(4))
        cosines[tau] = method(views(2)).logs["target_cosine"].item()
    assert cosines[0.0] == pytest.approx(1.0, abs=1e-5)
    assert cosines[1.0] < 0.99
