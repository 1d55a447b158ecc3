"""TriBYOL's loss and its symmetries, and why its targets move in turn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fkt.ssl.byol import BYOL
from fkt.ssl.tribyol import TriBYOL
from tests import references_momentum as references
from tests.ssl.siamese import build, disturb, optimizer_of, reordered, train, views


def unlike(**changes: object) -> TriBYOL:
    """A TriBYOL whose targets differ from each other and from the online network."""
    method = build(TriBYOL, **changes)
    for number, target in enumerate(method.targets):
        disturb(target, number + 1)
    assert isinstance(method, TriBYOL)
    return method


def flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize("target_updates", ["alternate", "both", "shared"])
def test_the_loss_is_the_symmetrized_triple_view_loss(target_updates: str) -> None:
    method, made = unlike(target_updates=target_updates), views(3)
    copied = copy.deepcopy(method)
    p = [copied.predictor(copied.projector(copied.backbone(view))).tolist() for view in made.images]
    first, second = (
        [target(view).tolist() for view in made.images] for target in (copied.targets[0], copied.targets[-1])
    )
    loss = method(made).loss
    assert loss.item() == pytest.approx(references.tribyol(p, first, second), rel=1e-5)
    assert 0 <= loss <= 8


def test_with_equal_targets_and_views_2_and_3_equal_it_is_byol() -> None:
    made = views(3)
    tribyol, byol = build(TriBYOL), build(BYOL)
    byol.load_state_dict(
        {
            name.replace("targets.0.", "target."): tensor
            for name, tensor in tribyol.state_dict().items()
            if not name.startswith("targets.1.") and name != "_extra_state"
        }
    )
    loss = tribyol(reordered(made, 0, 1, 1)).loss
    expected = byol(reordered(made, 0, 1)).loss
    torch.testing.assert_close(loss, expected)


def test_swapping_views_2_and_3_together_with_the_targets_does_not_matter() -> None:
    method, made = unlike(), views(3)
    loss = method(made).loss
    swapped = unlike()
    swapped.targets = nn.ModuleList([swapped.targets[1], swapped.targets[0]])
    torch.testing.assert_close(swapped(reordered(made, 0, 2, 1)).loss, loss)
    assert not torch.allclose(unlike()(reordered(made, 0, 2, 1)).loss, loss, rtol=1e-4), "the views alone do matter"


def test_swapping_views_1_and_2_does_matter() -> None:
    made = views(3)
    assert not torch.allclose(unlike()(made).loss, unlike()(reordered(made, 1, 0, 2)).loss, rtol=1e-4)


def test_predictions_aligned_with_all_targets_cost_nothing_and_opposite_ones_8() -> None:
    for sign, value in ((1.0, 0.0), (-1.0, 8.0)):
        method = build(TriBYOL)
        for target in method.targets:
            nn.init.zeros_(target.network[1][-1].weight)
            nn.init.ones_(target.network[1][-1].bias)
        nn.init.zeros_(method.predictor[-1].weight)
        nn.init.constant_(method.predictor[-1].bias, sign)
        assert method(views(3)).loss.item() == pytest.approx(value, abs=1e-5)


def test_the_heads_and_both_targets_are_the_papers() -> None:
    method = build(TriBYOL)
    kinds = [type(module) for module in method.projector]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear] == [type(module) for module in method.predictor]
    assert len(method.targets) == 2
    for target in method.targets:
        assert torch.equal(flat(target), torch.cat([flat(method.backbone), flat(method.projector)]))


def test_in_turn_each_target_closes_in_and_after_odd_steps_they_differ() -> None:
    method = build(TriBYOL)
    disturb(method.targets[0])
    method.targets[1].load_state_dict(method.targets[0].state_dict())
    theta, start = torch.cat([flat(method.backbone), flat(method.projector)]), flat(method.targets[0])
    for step in range(1, 7):
        method.after_step(step / 6)
        moved = ((step + 1) // 2, step // 2)
        for target, times in zip(method.targets, moved, strict=True):
            torch.testing.assert_close(flat(target), theta + 0.9**times * (start - theta))
        assert torch.equal(flat(method.targets[0]), flat(method.targets[1])) == (step % 2 == 0)


@pytest.mark.parametrize("target_updates", ["alternate", "both"])
def test_moved_both_in_each_step_the_targets_are_one_for_ever_and_in_turn_they_are_two(target_updates: str) -> None:
    method = build(TriBYOL, target_updates=target_updates)
    optimizer = optimizer_of(method)
    degenerate = target_updates == "both"
    for step in range(5):
        train(method, optimizer, range(step, step + 1))
        assert torch.equal(flat(method.targets[0]), flat(method.targets[1])) == degenerate
    cosine = method(views(3, 9)).logs["targets_cosine"].item()
    assert (cosine > 1 - 1e-6) == degenerate


def test_moved_both_in_each_step_two_targets_train_as_one_shared_target_does() -> None:
    found = []
    for target_updates in ("both", "shared"):
        method = build(TriBYOL, target_updates=target_updates)
        losses = train(method, optimizer_of(method), range(4))
        found.append((losses, flat(method.backbone)))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
    alternating = build(TriBYOL)
    assert train(alternating, optimizer_of(alternating), range(4)) != found[0][0]


def test_whose_turn_it_is_survives_a_restart() -> None:
    method = build(TriBYOL)
    train(method, optimizer_of(method), range(1))
    resumed = build(TriBYOL)
    resumed.load_state_dict(method.state_dict())
    first = flat(resumed.targets[0])
    second = flat(resumed.targets[1])
    resumed.after_step(0.5)
    assert torch.equal(flat(resumed.targets[0]), first)
    assert not torch.equal(flat(resumed.targets[1]), second)


def test_the_state_is_tensors_that_a_checkpoint_can_hold() -> None:
    state = build(TriBYOL).state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
