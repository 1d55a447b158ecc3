"""SimSiam's heads, its stopped gradient, and the collapse without it."""

import pytest
import torch
from torch import Tensor, nn

from fkt.data.keys import seeded
from fkt.ssl.heads import mlp
from fkt.ssl.methods import METHODS
from fkt.ssl.simsiam import SimSiam
from fkt.training.monitor import warnings_of
from tests.ssl.harness import build, gradients, optimizer_of, views


class Unstopped(SimSiam):
    """SimSiam with a gradient through both sides."""

    def stopped(self, z: Tensor) -> Tensor:
        return z


def build_as(kind: type[SimSiam]) -> SimSiam:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "simsiam", kind)
        return build("simsiam")


def test_no_gradient_flows_through_the_projections_that_are_predicted() -> None:
    caught: list[Tensor] = []

    class Caught(SimSiam):
        def stopped(self, z: Tensor) -> Tensor:
            caught.append(super().stopped(z).requires_grad_())
            return caught[-1]

    found = {kind: gradients(build_as(kind), views(2)) for kind in (SimSiam, Caught, Unstopped)}
    assert len(caught) == 2 and all(z.grad is not None and z.grad.any() for z in caught), "the loss depends on them"
    for key, gradient in found[SimSiam].items():
        assert torch.equal(gradient, found[Caught][key]), key
    assert not torch.allclose(found[SimSiam]["projector.0.weight"], found[Unstopped]["projector.0.weight"])


@pytest.mark.parametrize("layers", [2, 3])
def test_the_heads_are_those_of_the_paper(layers: int) -> None:
    method = build("simsiam", projector_layers=layers)
    assert sum(isinstance(module, nn.Linear) for module in method.projector) == layers
    last = method.projector[-1]
    assert isinstance(last, nn.BatchNorm1d) and not last.affine
    assert isinstance(method.predictor[-1], nn.Linear) and method.predictor[-1].bias is not None
    assert [module.out_features for module in method.predictor if isinstance(module, nn.Linear)] == [6, 8]


def trained(kind: type[SimSiam], *, last_norm: bool) -> dict[str, float]:
    method = build_as(kind)
    if not last_norm:
        with seeded(1, "head"):
            method.projector = mlp(128, 16, 8)
    optimizer = optimizer_of(method, lr=0.05 if last_norm else 0.2)
    for step in range(60):
        output = method(views(2, step % 2, batch=32))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"loss": output.loss.item(), **{name: value.item() for name, value in output.logs.items()}}


def test_without_the_stop_the_projections_collapse_onto_a_line_and_the_logs_show_it() -> None:
    healthy, collapsed = trained(SimSiam, last_norm=True), trained(Unstopped, last_norm=True)
    assert collapsed["loss"] < healthy["loss"] - 0.01, "a lower loss is not better"
    assert collapsed["projection_rank"] < 2.4 < 3.0 < healthy["projection_rank"]
    assert warnings_of([healthy]) == []
    (warning,) = warnings_of([collapsed])
    assert "collapsed onto a line" in warning


def test_without_the_stop_and_the_normalized_output_they_collapse_into_a_point() -> None:
    healthy, collapsed = trained(SimSiam, last_norm=False), trained(Unstopped, last_norm=False)
    assert collapsed["loss"] < -0.99
    assert collapsed["projection_std"] < 0.3 < 0.7 < healthy["projection_std"]
    assert warnings_of([healthy]) == []
    assert "collapsed into a point" in warnings_of([collapsed])[0]
