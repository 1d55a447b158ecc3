"""TriBYOL's loss and its symmetries, and why its targets move in turn."""

from typing import Any

import pytest
import torch
from torch import nn

from tests import references_losses as references
from tests.ssl.harness import build, disturb, flat, optimizer_of, reordered, train, views


def with_different_targets(**changes: Any) -> Any:
    method = build("tribyol", **changes)
    disturb(method.target, 1)
    if method.second_target is not None:
        disturb(method.second_target, 2)
    return method


@pytest.mark.parametrize("target_updates", ["alternate", "both", "shared"])
def test_the_loss_is_the_symmetrized_triple_view_loss(target_updates: str) -> None:
    method, copied = (with_different_targets(target_updates=target_updates) for _ in range(2))
    made = views(3)
    p = [copied.predictor(copied.projector(copied.backbone(view))).tolist() for view in made.images]
    targets = copied.target, copied.second_target or copied.target
    first, second = ([target(view).tolist() for view in made.images] for target in targets)
    loss = method(made).loss
    assert loss.item() == pytest.approx(references.tribyol(p, first, second), rel=1e-5)
    assert 0 <= loss <= 8


def test_with_equal_targets_and_equal_views_2_and_3_it_is_byol() -> None:
    expected = build("byol")(views(2)).loss
    torch.testing.assert_close(build("tribyol")(reordered(views(2), 0, 1, 1)).loss, expected)


def test_swapping_views_2_and_3_matters_unless_the_targets_are_swapped_too() -> None:
    made = views(3)
    loss = with_different_targets()(made).loss
    swapped = with_different_targets()
    swapped.target, swapped.second_target = swapped.second_target, swapped.target
    torch.testing.assert_close(swapped(reordered(made, 0, 2, 1)).loss, loss)
    for order in ((0, 2, 1), (1, 0, 2)):
        assert not torch.allclose(with_different_targets()(reordered(made, *order)).loss, loss, rtol=1e-4)


@pytest.mark.parametrize(("sign", "value"), [(1.0, 0.0), (-1.0, 8.0)])
def test_predictions_parallel_to_all_targets_cost_0_and_opposite_ones_8(sign: float, value: float) -> None:
    method = build("tribyol")
    for target in (method.target, method.second_target):
        nn.init.zeros_(target.network[1][-1].weight)
        nn.init.ones_(target.network[1][-1].bias)
    nn.init.zeros_(method.predictor[-1].weight)
    nn.init.constant_(method.predictor[-1].bias, sign)
    assert method(views(3)).loss.item() == pytest.approx(value, abs=1e-5)


def test_alternating_targets_differ_after_odd_steps() -> None:
    method = build("tribyol")
    theta = torch.cat([flat(method.backbone), flat(method.projector)])
    assert torch.equal(flat(method.second_target), theta)
    disturb(method.target)
    method.second_target.load_state_dict(method.target.state_dict())
    start = flat(method.target)
    for step in range(1, 7):
        method.after_step(step / 6)
        for target, times in ((method.target, (step + 1) // 2), (method.second_target, step // 2)):
            torch.testing.assert_close(flat(target), theta + 0.9**times * (start - theta))
        assert torch.equal(flat(method.target), flat(method.second_target)) == (step % 2 == 0)


def test_two_targets_that_both_move_train_like_one_shared_target_and_alternating_ones_do_not() -> None:
    losses, backbones = {}, {}
    for target_updates in ("both", "shared", "alternate"):
        method = build("tribyol", target_updates=target_updates)
        losses[target_updates] = train(method, optimizer_of(method), range(5))
        backbones[target_updates] = flat(method.backbone)
        cosine = method(views(3, 9)).logs["targets_cosine"].item()
        assert (cosine > 1 - 1e-6) == (target_updates != "alternate")
    assert losses["both"] == losses["shared"] != losses["alternate"]
    assert torch.equal(backbones["both"], backbones["shared"])


def test_a_restart_keeps_the_turn() -> None:
    method, resumed = build("tribyol"), build("tribyol")
    train(method, optimizer_of(method), range(1))
    resumed.load_state_dict(method.state_dict())
    first, second = flat(resumed.target), flat(resumed.second_target)
    resumed.after_step(0.5)
    assert torch.equal(flat(resumed.target), first)
    assert not torch.equal(flat(resumed.second_target), second)
