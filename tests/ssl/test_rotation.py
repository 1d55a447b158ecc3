"""Rotations pixel by pixel, rotation prediction as a method, and as an auxiliary task."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.pretext.rotations import rotated
from fkt.ssl.rotation import _mean_over_turns
from tests import references_pretext as references
from tests.ssl.harness import build, gradients, views

TURNS = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])


def images(count: int = 8, channels: int = 3, size: int = 5) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def turns_of(upright: Tensor, result: Tensor) -> Tensor:
    """(B, 4) bool: by which angles an image could have been rotated."""
    angles = [(torch.rot90(upright, k, (2, 3)) == result).flatten(1).all(dim=1) for k in range(4)]
    return torch.stack(angles, dim=1)


def test_a_rotation_is_that_of_the_reference() -> None:
    x = images()
    for image, result, turns in zip(x, rotated(x, TURNS), TURNS.tolist(), strict=True):
        for channel in range(3):
            assert result[channel].tolist() == references.quarter_turn(image[channel].tolist(), turns)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_four_quarter_turns_and_a_turn_back_are_the_identity(dtype: torch.dtype) -> None:
    x = (images() * 50).to(dtype)
    once = x
    for _ in range(4):
        once = rotated(once, torch.ones(8, dtype=torch.int64))
    assert torch.equal(once, x)
    assert torch.equal(rotated(rotated(x, TURNS), -TURNS), x)
    assert rotated(x, TURNS).is_contiguous(memory_format=torch.channels_last)


def test_a_flip_after_the_rotation_changes_its_direction() -> None:
    x = images()
    assert torch.equal(rotated(x, TURNS).flip(3), rotated(x.flip(3), -TURNS))
    assert not torch.equal(rotated(x, TURNS).flip(3), rotated(x.flip(3), TURNS))


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="4 x 5"):
        rotated(torch.zeros(2, 1, 4, 5), torch.zeros(2))


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_the_loss_is_the_weighted_cross_entropy_of_upright_and_rotated_views(copies: int) -> None:
    method, made = build("rotation", rotated_copies=copies), views(1)
    seen: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    heads: list[Tensor] = []
    method.head.register_forward_hook(lambda *passed: heads.append(passed[2]))
    output = method(made)
    assert len(seen) == 1, "all images form one batch"
    batch, logits = seen[0].view(1 + copies, 8, 1, 16, 16), heads[0].view(1 + copies, 8, 4)
    assert torch.equal(batch[0], made.images[0])
    total, hits = 0.0, 0.0
    for i in range(8):
        labels = []
        for j in range(1 + copies):
            upright, shown = made.images[0][i, 0].tolist(), batch[j, i, 0].tolist()
            (label,) = [turns for turns in range(4) if references.quarter_turn(upright, turns) == shown]
            weight = (1 if j == 0 else 3 / copies) / 4 / 8
            total += weight * references.cross_entropy(logits[j, i].tolist(), label)
            hits += weight * (int(logits[j, i].argmax()) == label)
            labels.append(label)
        assert labels[0] == 0 and len(set(labels)) == 1 + copies, "no angle twice"
    assert output.loss.item() == pytest.approx(total, rel=1e-5)
    assert output.logs["rotation_accuracy"].item() == pytest.approx(hits, abs=1e-6)


def test_every_number_of_copies_estimates_the_mean_over_the_four_angles() -> None:
    losses = torch.rand(4, 1, generator=torch.Generator().manual_seed(0))
    for copies in (1, 2, 3):
        subsets = torch.combinations(torch.arange(1, 4), copies)
        estimates = [_mean_over_turns(torch.cat([losses[:1], losses[subset]])) for subset in subsets]
        torch.testing.assert_close(torch.stack(estimates).mean(), losses.mean())


def test_the_angles_of_single_copies_are_uniform_over_the_other_three() -> None:
    method, seen = build("rotation"), []
    method.backbone.forward = lambda batch: seen.append(batch) or torch.zeros(len(batch), 128)
    counts, first = torch.zeros(4), []
    for step in range(40):
        method(views(1, step, batch=20))
        turned = turns_of(seen[-1][:20], seen[-1][20:])
        counts += turned.sum(dim=0)
        first.append(int(turned[0].int().argmax()))
    assert counts[0] == 0 and stats.chisquare(counts[1:].tolist()).pvalue > 0.01
    assert len(set(first)) == 3, "the draw depends on the step"


@pytest.mark.parametrize(("name", "weight", "loss"), [("rotation", None, "loss"), ("simclr", 1.0, "rotation_loss")])
def test_a_zero_head_gives_log_4_and_accuracy_by_chance(name: str, weight: float | None, loss: str) -> None:
    changes = {"rotated_copies": 3} if name == "rotation" else {}
    method = build(name, rotation_weight=weight, **changes)
    torch.nn.init.zeros_(method.head[-1].weight)
    torch.nn.init.zeros_(method.head[-1].bias)
    output = method(views(method.num_views))
    assert {"loss": output.loss, **output.logs}[loss].item() == pytest.approx(math.log(4), rel=1e-6)
    if name == "rotation":
        assert output.logs["rotation_accuracy"].item() == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["rotation", "jigsaw_pp"])
def test_a_batch_of_one_image_is_accepted(name: str) -> None:
    assert build(name)(views(1, batch=1)).loss.isfinite()


def test_the_auxiliary_loss_is_linear_in_its_weight_and_so_is_its_gradient() -> None:
    methods = {weight: build("simclr", rotation_weight=weight) for weight in (0.0, 1.0, 2.0)}
    outputs = {weight: method(views(2)) for weight, method in methods.items()}
    rotation = outputs[0.0].logs["rotation_loss"]
    assert rotation > 0.1
    for weight, output in outputs.items():
        torch.testing.assert_close(output.loss.detach(), output.logs["base_loss"] + weight * rotation)
        torch.testing.assert_close(output.logs["base_loss"], build("simclr")(views(2)).loss.detach())
    none, one, two = (gradients(method, views(2)) for method in methods.values())
    for key, gradient in one.items():
        torch.testing.assert_close(gradient - none[key], (two[key] - none[key]) / 2, rtol=1e-3, atol=1e-5)


def test_weight_02_is_rot_wt_01_of_the_release_and_only_the_backbone_sees_rotated_views() -> None:
    method, made = build("simclr", rotation_weight=0.2), views(2)
    seen: list[Tensor] = []
    logits: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.head.register_forward_hook(lambda *passed: logits.append(passed[2]))
    output = method(made)
    upright = torch.cat(made.images)
    assert len(seen) == 2 and torch.equal(seen[0], upright)
    possible = turns_of(upright, seen[1])
    assert possible.sum(dim=1).tolist() == [1] * 16
    turns = possible.int().argmax(dim=1)
    assert not torch.equal(turns[:8], turns[8:]), "each view has its own angle"
    ce_1, ce_2 = (F.cross_entropy(logits[0][half], turns[half]) for half in (slice(0, 8), slice(8, 16)))
    torch.testing.assert_close(output.loss - output.logs["base_loss"], 0.1 * (ce_1 + ce_2))


def test_the_angles_of_the_auxiliary_task_are_uniform_and_independent_between_views() -> None:
    method, table = build("simclr", rotation_weight=1.0), torch.zeros(4, 4, dtype=torch.int64)
    method.method.forward = lambda made: build_output
    build_output = build("simclr")(views(2))
    seen: list[Tensor] = []
    method.backbone.forward = lambda batch: seen.append(batch) or torch.zeros(len(batch), 128)
    for step in range(150):
        made = views(2, step, batch=40)
        method(made)
        first, second = turns_of(torch.cat(made.images), seen[-1]).int().argmax(dim=1).chunk(2)
        table.index_put_((first, second), torch.ones(40, dtype=torch.int64), accumulate=True)
    assert stats.chisquare(table.sum(0).tolist()).pvalue > 0.01
    assert stats.chisquare(table.sum(1).tolist()).pvalue > 0.01
    assert stats.chi2_contingency(table.numpy()).pvalue > 0.01


def test_rotation_is_learned_from_images_with_an_upper_side() -> None:
    method = build("simclr", rotation_weight=1.0)
    ramp = torch.linspace(-2, 2, 16).view(1, 1, 16, 1).expand(8, 1, 16, 16)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.003)
    hits = []
    for step in range(40):
        made = views(2, step)
        output = method(replace(made, images=tuple(ramp + 0.1 * view for view in made.images)))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        hits.append(output.logs["rotation_accuracy"].item())
    assert hits[0] < 0.6 and sum(hits[-5:]) / 5 > 0.95
