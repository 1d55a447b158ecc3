"""How the two losses are weighed: each balance against its definition, and a run under each against its own parts."""

import copy
import functools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fkt.models.classifier import Classifier
from fkt.params import GradNormParams, ScheduleParams, load_params
from fkt.training.balance import (
    LEAST_WEIGHT,
    Balance,
    Fixed,
    GradNorm,
    Schedule,
    Uncertainty,
    build_balance,
    gradnorm_gradient,
    ssl_share,
)
from fkt.training.objectives import Supervised, SupervisedLoss
from fkt.training.optim import build_optimizer
from tests.conftest import ROOT
from tests.references_balance import NaiveGradNorm, share
from tests.training.joint_runs import BALANCES, COSINE, Batches, run
from tests.training.test_objectives import LABELS, PLAIN, classifier, functional
from tests.training.test_objectives import batch as one_batch
from tests.training.test_optim import section

CURVES = {"constant": lambda t: 1.0, "linear": lambda t: 1 - t, "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2}


def losses(ce: float, ssl: float) -> tuple[Tensor, Tensor]:
    return torch.tensor(ce, requires_grad=True), torch.tensor(ssl, requires_grad=True)


def test_fixed_is_the_plain_sum_to_the_bit_all_along_a_run(tmp_path: Path) -> None:
    fused, plain = functional(0.7), functional(0.7)
    run(fused, tmp_path / "run.pt", steps=4)
    optimizer = build_optimizer(plain, section(optimizer="sgd", learning_rate=0.02, weight_decay=0.01))
    for step, batch in enumerate(Batches().steps(0, 4)):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.01 * (1 + math.cos(math.pi * step / 4))
        assert batch.views is not None and batch.images is not None and batch.labels is not None
        output = plain.method(batch.views)
        (plain.cross_entropy(plain.classifier(batch.images), batch.labels) + 0.7 * output.loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, fused.state_dict()[name]), name


@pytest.mark.parametrize("warmup", [0.0, 0.25])
@pytest.mark.parametrize("curve", list(CURVES))
def test_the_schedule_rises_then_falls_along_its_curve(curve: str, warmup: float) -> None:
    params = ScheduleParams.model_validate({"curve": curve, "warmup_fraction": warmup})
    for progress in [0.0, 0.1, 0.25, 0.3, 0.5, 0.9, 1.0]:
        assert ssl_share(progress, params) == pytest.approx(share(progress, CURVES[curve], warmup), abs=1e-12)
    assert ssl_share(0.0, params) == (0.0 if warmup else 1.0) and ssl_share(warmup, params) == 1.0
    assert ssl_share(1.0, params) == pytest.approx(1.0 if curve == "constant" else 0.0)


def test_a_run_under_a_schedule_has_its_weights_and_ends_on_the_labels(tmp_path: Path) -> None:
    fitted = run(functional(lambda _: Schedule(0.7, COSINE)), tmp_path / "run.pt")
    expected = [0.7 * share(step / 8, CURVES["cosine"], 0.25) for step in range(8)]
    means = [(expected[step] + expected[step + 1]) / 2 for step in range(0, 8, 2)]  # a row is of two steps
    assert [row["weight_ssl"] for row in fitted.rows] == pytest.approx(means, rel=1e-6)
    assert [row["weight_ce"] for row in fitted.rows] == [1.0] * 4


def test_a_constant_schedule_is_fixed_to_the_bit(tmp_path: Path) -> None:
    constant = ScheduleParams(curve="constant", warmup_fraction=0.0)
    one, other = functional(lambda _: Schedule(0.7, constant)), functional(0.7)
    assert run(one, tmp_path / "one.pt", steps=4).rows == run(other, tmp_path / "other.pt", steps=4).rows
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[name]), name


@pytest.mark.parametrize("ssl_weight", [1.0, 0.3])
def test_uncertainty_weighs_constant_losses_by_their_inverses(ssl_weight: float) -> None:
    balance = Uncertainty(ssl_weight)
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    ce, ssl = losses(0.2, 5.0)
    for _ in range(400):
        fused = balance(ce, ssl)
        optimizer.zero_grad()
        fused.total.backward()
        optimizer.step()
    assert fused.weight_ce.item() == pytest.approx(1 / (2 * 0.2), rel=1e-4)
    assert fused.weight_ssl.item() == pytest.approx(ssl_weight / (2 * 5.0), rel=1e-4)
    best = [0.5 + 0.5 * math.log(2 * loss) for loss in (0.2, 5.0)]  # of L / sigma^2 + log sigma over sigma
    assert fused.total.item() == pytest.approx(best[0] + ssl_weight * best[1], rel=1e-5)


def test_uncertainty_starts_as_the_plain_sum() -> None:
    ce, ssl = losses(0.2, 5.0)
    assert Uncertainty(0.7)(ce, ssl).total.item() == pytest.approx(0.2 + 0.7 * 5.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_the_log_variances_are_trained_with_the_network_and_do_not_decay(optimizer: str) -> None:
    objective = functional(BALANCES["uncertainty"])
    groups = build_optimizer(objective, section(optimizer=optimizer)).param_groups
    of_balance = dict(objective.balance.named_parameters())["log_variances"]
    (group,) = [group for group in groups if any(parameter is of_balance for parameter in group["params"])]
    assert group["weight_decay"] == 0.0


def toy() -> tuple[nn.Linear, nn.ModuleList]:
    generator = torch.Generator().manual_seed(0)
    shared, heads = nn.Linear(4, 3, bias=False), nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 2)])
    for parameter in [*shared.parameters(), *heads.parameters()]:
        nn.init.normal_(parameter, generator=generator)
    return shared.double(), heads.double()


def toy_losses(shared: nn.Linear, heads: nn.ModuleList, step: int) -> list[Tensor]:
    """Two losses, each from a forward pass of its own, the second far larger."""
    generator = torch.Generator().manual_seed(step)
    inputs = [torch.randn(6, 4, generator=generator, dtype=torch.float64) for _ in heads]
    outputs = [head(shared(x).tanh()) for head, x in zip(heads, inputs, strict=True)]
    return [outputs[0].square().mean() + 0.1, 30 * (outputs[1] - inputs[1][:, :2]).square().mean()]


@pytest.mark.parametrize("alpha", [0.0, 0.12, 1.5])
def test_gradnorm_is_algorithm_1_step_by_step(alpha: float) -> None:
    shared, heads = toy()
    balance = GradNorm(1.0, GradNormParams(alpha=alpha, learning_rate=0.025), shared.weight).double()
    optimizer = torch.optim.SGD([*shared.parameters(), *heads.parameters()], lr=0.02)
    other_shared, other_heads = toy()
    naive = NaiveGradNorm(other_shared.weight, alpha, 0.025)
    other_optimizer = torch.optim.SGD([*other_shared.parameters(), *other_heads.parameters()], lr=0.02)
    for step in range(20):
        optimizer.zero_grad()
        balance(*toy_losses(shared, heads, step)).total.backward()
        optimizer.step()
        balance.after_step()
        naive.step(toy_losses(other_shared, other_heads, step), other_optimizer)
        torch.testing.assert_close(balance.weights, naive.weights.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(shared.weight, other_shared.weight, rtol=1e-9, atol=1e-12)
    assert (balance.weights - 1).abs().min() > 0.1, "they have moved"


def test_gradnorm_brings_the_norms_of_steady_losses_together() -> None:
    layer = nn.Parameter(torch.tensor([1.0, 1.0]))
    balance = GradNorm(1.0, GradNormParams(alpha=0.0, learning_rate=0.025), layer)
    for _ in range(400):
        balance(layer[0], 3 * layer[1])
        balance.after_step()
        assert balance.weights.sum().item() == pytest.approx(2)
    assert balance.weights.tolist() == pytest.approx([1.5, 0.5], abs=0.05)


def test_gradnorm_leaves_no_weight_at_or_below_nothing() -> None:
    layer = nn.Parameter(torch.tensor([1.0, 1.0]))
    balance = GradNorm(1.0, GradNormParams(alpha=0.0, learning_rate=0.9), layer)
    for _ in range(5):
        balance(layer[0], 1e6 * layer[1])
        balance.after_step()
        assert balance.weights.min() > LEAST_WEIGHT / 2


def test_the_loss_that_falls_slower_is_pushed_by_gradnorm() -> None:
    even = torch.ones(2)
    gradient = gradnorm_gradient(even, even, torch.tensor([0.1, 0.9]), 1.5)
    assert gradient[0] > 0 > gradient[1], "down with the first weight, up with the second"
    assert not gradnorm_gradient(even, even, torch.tensor([0.1, 0.9]), 0.0).any()


def test_gradnorm_looks_at_the_last_convolution_that_both_losses_go_through() -> None:
    model = classifier()
    modules = []
    for name, module in model.backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: modules.append(name))
    model.backbone(torch.randn(2, 1, 16, 16))
    mine = [name for name, module in model.backbone.named_modules() if module is model.backbone.last_convolution]
    main_path = [name for name in modules if "downsample" not in name]
    assert mine == main_path[-1:] == ["layer4.0.conv2"]


@pytest.mark.parametrize("name", ["uncertainty", "gradnorm"])
def test_learned_weights_move_and_are_told(name: str, tmp_path: Path) -> None:
    fitted = run(functional(BALANCES[name]), tmp_path / "run.pt")
    for weight in ("weight_ce", "weight_ssl"):
        assert len({row[weight] for row in fitted.rows}) == 4
    sums = {row["weight_ce"] + row["weight_ssl"] / 0.7 for row in fitted.rows}
    assert name != "gradnorm" or all(total == pytest.approx(2) for total in sums)


@pytest.mark.parametrize(("optimizer", "precision"), [("sgd", torch.float32), ("adamw", torch.bfloat16)])
@pytest.mark.parametrize("name", list(BALANCES))
def test_an_interrupted_run_goes_on_to_the_same_bits_under_every_balance(
    name: str, optimizer: str, precision: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fkt.training.resume.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("fkt.training.resume.COST_RATIO", 0.0)
    run_so = functools.partial(run, steps=6, optimizer=optimizer, precision=precision)
    whole, parts = (functional(BALANCES[name], gradient_checks=3) for _ in range(2))
    expected = run_so(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run_so(functional(BALANCES[name], gradient_checks=3), tmp_path / "parts.pt", Batches(stop_at=3))
    fitted = run_so(parts, tmp_path / "parts.pt")
    assert fitted.rows == expected.rows
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


@pytest.mark.parametrize("name", list(BALANCES))
def test_without_lambda_every_balance_has_the_direction_of_the_supervised_gradient(name: str) -> None:
    def without(model: Classifier) -> Balance:
        balance = BALANCES[name](model)
        balance.ssl_weight = 0.0
        return balance

    joint, supervised = functional(without), Supervised(classifier(), SupervisedLoss(PLAIN, LABELS, 3))
    joint.loss(one_batch())["total"].backward()
    supervised.train().loss(one_batch())["total"].backward()
    for one, other in zip(joint.model.parameters(), supervised.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_params_name_each_balance_once() -> None:
    joint = load_params(ROOT / "params.yaml").joint
    layer = classifier().backbone.last_convolution.weight
    kinds = {"fixed": Fixed, "schedule": Schedule, "uncertainty": Uncertainty, "gradnorm": GradNorm}
    for name, kind in kinds.items():
        balance = build_balance(joint.model_copy(update={"balance": name}), 0.4, layer)
        assert type(balance) is kind and balance.ssl_weight == 0.4
        assert copy.deepcopy(balance).state_dict().keys() == balance.state_dict().keys()
