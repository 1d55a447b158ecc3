"""SimSiam's loss, its stopped gradient, and what happens without it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fkt.data.keys import seeded
from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import negative_cosine
from fkt.ssl.simsiam import SimSiam
from fkt.training.monitor import warnings_of
from tests.references import cosine
from tests.ssl.siamese import PARAMS, build, optimizer_of, reordered, views


class Unstopped(SimSiam):
    """SimSiam whose gradient goes through both sides."""

    def stopped(self, z: Tensor) -> Tensor:
        return z


@pytest.fixture(autouse=True)
def _params_of_unstopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARAMS, Unstopped, PARAMS[SimSiam])


def test_value_and_both_gradients_are_those_of_lightly() -> None:
    from lightly.loss import NegativeCosineSimilarity

    sides = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = sides.clone().requires_grad_(), sides.clone().requires_grad_()
    loss, expected = negative_cosine(ours[0], ours[1]), NegativeCosineSimilarity()(theirs[0], theirs[1])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_loss_is_minus_1_for_parallel_and_1_for_opposite_vectors_of_any_scale() -> None:
    z = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert negative_cosine(z, 7 * z).item() == pytest.approx(-1.0) == SimSiam.infimum
    assert negative_cosine(z, -0.1 * z).item() == pytest.approx(1.0)


def test_the_loss_is_the_papers_and_the_order_of_the_views_does_not_matter() -> None:
    made = views(2)
    method = build(SimSiam)
    copied = copy.deepcopy(method)
    z = [copied.projector(copied.backbone(view)) for view in made.images]
    p = [copied.predictor(view).tolist() for view in z]
    z = [view.tolist() for view in z]
    expected = -sum(cosine(p[a][i], z[1 - a][i]) for a in (0, 1) for i in range(8)) / 16
    loss = method(made).loss
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert -1 <= loss <= 1
    torch.testing.assert_close(build(SimSiam)(reordered(made, 1, 0)).loss, loss)


def test_the_gradient_through_the_projections_is_exactly_zero() -> None:
    caught: list[Tensor] = []

    class Caught(SimSiam):
        def stopped(self, z: Tensor) -> Tensor:
            caught.append(super().stopped(z).requires_grad_())
            return caught[-1]

    PARAMS[Caught] = PARAMS[SimSiam]
    try:
        method, plain = build(Caught), build(SimSiam)
    finally:
        del PARAMS[Caught]
    method(views(2)).loss.backward()
    plain(views(2)).loss.backward()
    assert all(z.grad is not None and z.grad.any() for z in caught), "the loss does depend on them"
    for mine, theirs in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=0)


def test_without_the_stop_the_gradient_is_another() -> None:
    gradients = []
    for kind in (SimSiam, Unstopped):
        method = build(kind)
        method(views(2)).loss.backward()
        gradients.append(method.projector[0].weight.grad)
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("layers", [2, 3])
def test_the_heads_are_the_papers(layers: int) -> None:
    method = build(SimSiam, projector_layers=layers)
    assert sum(isinstance(module, nn.Linear) for module in method.projector) == layers
    last = method.projector[-1]
    assert isinstance(last, nn.BatchNorm1d) and not last.affine
    assert isinstance(method.predictor[-1], nn.Linear) and method.predictor[-1].bias is not None
    assert [module.out_features for module in method.predictor if isinstance(module, nn.Linear)] == [6, 8]


def trained(kind: type[SimSiam], *, last_norm: bool) -> dict[str, float]:
    method = build(kind)
    if not last_norm:
        with seeded(1, "head"):
            method.projector = mlp(128, 16, 8, layers=2, batch_norm=True, last_norm=False)
    optimizer, rate = optimizer_of(method), 0.05 if last_norm else 0.2
    for group in optimizer.param_groups:
        group["lr"] = rate
    for step in range(60):
        output = method(views(2, step % 2, batch=32))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"loss": output.loss.item(), **{name: value.item() for name, value in output.logs.items()}}


def test_without_the_stop_the_logs_show_the_projections_falling_onto_a_line() -> None:
    healthy, collapsed = trained(SimSiam, last_norm=True), trained(Unstopped, last_norm=True)
    assert collapsed["loss"] < healthy["loss"] - 0.01, "a lower loss is no better"
    assert collapsed["projection_rank"] < 2.4 < 3.0 < healthy["projection_rank"]
    assert warnings_of([healthy]) == []
    (said,) = warnings_of([collapsed])
    assert "collapsed onto a line" in said


def test_without_the_stop_and_the_normalized_output_they_fall_into_a_point() -> None:
    healthy, collapsed = trained(SimSiam, last_norm=False), trained(Unstopped, last_norm=False)
    assert collapsed["loss"] < -0.99
    assert collapsed["projection_std"] < 0.3 < 0.7 < healthy["projection_std"]
    assert warnings_of([healthy]) == []
    assert "collapsed into a point" in warnings_of([collapsed])[0]
