"""Quarter turns pixel by pixel, and rotation prediction alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import RotationParams
from fkt.ssl.base import Setting
from fkt.ssl.pretext.quarter_turns import draw_turns, quarter_turned
from fkt.ssl.rotation import Rotation, _mean_over_turns
from tests import references_pretext as references
from tests.ssl import pretext


def build(copies: int) -> pretext.Build:
    def made(backbone: ResNet, setting: Setting) -> Rotation:
        return Rotation(backbone, RotationParams(rotated_copies=copies, hidden=8), setting)

    return made


def images(count: int = 8, channels: int = 3, size: int = 5) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


TURNS = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])


def test_a_quarter_turn_is_that_of_the_reference() -> None:
    x = images()
    turned = quarter_turned(x, TURNS)
    for image, result, turns in zip(x, turned, TURNS.tolist(), strict=True):
        for channel in range(3):
            assert result[channel].tolist() == references.quarter_turn(image[channel].tolist(), turns)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_four_quarter_turns_and_a_turn_back_are_the_identity(dtype: torch.dtype) -> None:
    x = (images() * 50).to(dtype)
    once = x
    for _ in range(4):
        once = quarter_turned(once, torch.ones(8, dtype=torch.int64))
    assert torch.equal(once, x)
    assert torch.equal(quarter_turned(quarter_turned(x, TURNS), -TURNS), x)
    assert quarter_turned(x, TURNS).is_contiguous(memory_format=torch.channels_last)


def test_a_flip_after_the_turn_swaps_its_direction() -> None:
    x = images()
    flipped_late, flipped_early = quarter_turned(x, TURNS).flip(3), quarter_turned(x.flip(3), -TURNS)
    assert torch.equal(flipped_late, flipped_early)
    assert not torch.equal(flipped_late, quarter_turned(x.flip(3), TURNS))


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="4 x 5"):
        quarter_turned(torch.zeros(2, 1, 4, 5), torch.zeros(2))


def test_turns_are_uniform() -> None:
    counts = torch.bincount(draw_turns(8000, torch.Generator().manual_seed(0)), minlength=4)
    assert stats.chisquare(counts.tolist()).pvalue > 0.01


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_the_loss_is_the_weighted_cross_entropy_of_upright_and_turned_views(copies: int) -> None:
    method, views = pretext.make(build(copies)), pretext.make_views()
    seen: list[Tensor] = []
    handle = method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    heads: list[Tensor] = []
    method.head.register_forward_hook(lambda *passed: heads.append(passed[2]))  # type: ignore[union-attr]
    output = method(views)
    handle.remove()
    assert len(seen) == 1, "all in one batch"
    batch = seen[0].view(1 + copies, 8, 1, 16, 16)
    assert torch.equal(batch[0], views.images[0])
    total, hits = 0.0, 0.0
    logits = heads[0].view(1 + copies, 8, 4)
    for i in range(8):
        labels = []
        for j in range(1 + copies):
            upright, shown = views.images[0][i, 0].tolist(), batch[j, i, 0].tolist()
            (label,) = [turns for turns in range(4) if references.quarter_turn(upright, turns) == shown]
            weight = (1 if j == 0 else 3 / copies) / 4 / 8
            total += weight * references.cross_entropy(logits[j, i].tolist(), label)
            hits += weight * (int(logits[j, i].argmax()) == label)
            labels.append(label)
        assert labels[0] == 0 and len(set(labels)) == 1 + copies, "no turn twice"
    assert output.loss.item() == pytest.approx(total, rel=1e-5)
    assert output.logs["rotation_accuracy"].item() == pytest.approx(hits, abs=1e-6)
    assert method.online_passes == 1 + copies


def test_every_number_of_copies_estimates_the_mean_over_the_four_turns() -> None:
    losses = torch.rand(4, 1, generator=torch.Generator().manual_seed(0))
    for copies in (1, 2, 3):
        subsets = torch.combinations(torch.arange(1, 4), copies)
        estimates = [_mean_over_turns(torch.cat([losses[:1], losses[subset]])) for subset in subsets]
        torch.testing.assert_close(torch.stack(estimates).mean(), losses.mean())


def test_the_turns_of_single_copies_are_uniform_over_the_other_three_and_change_with_the_step() -> None:
    method = pretext.make(build(1))
    seen: list[Tensor] = []
    method.backbone.forward = lambda batch: seen.append(batch) or torch.zeros(len(batch), 128)  # type: ignore[assignment,func-returns-value]
    counts, first = torch.zeros(4), []
    for step in range(40):
        views = pretext.make_views(count=20, step=step)
        method(views)
        copy_of = seen[-1][20:]
        turned = torch.stack([(torch.rot90(views.images[0], k, (2, 3)) == copy_of).all((1, 2, 3)) for k in range(4)])
        counts += turned.sum(dim=1)
        first.append(int(turned[:, 0].int().argmax()))
    assert counts[0] == 0 and stats.chisquare(counts[1:].tolist()).pvalue > 0.01
    assert len(set(first)) == 3


def test_a_zero_head_gives_log_4_and_chance() -> None:
    method = pretext.make(build(3))
    torch.nn.init.zeros_(method.head[-1].weight)  # type: ignore[index,union-attr,arg-type]
    torch.nn.init.zeros_(method.head[-1].bias)  # type: ignore[index,union-attr,arg-type]
    output = method(pretext.make_views())
    assert output.loss.item() == pytest.approx(math.log(4), rel=1e-6)
    assert output.logs["rotation_accuracy"].item() == pytest.approx(0.25)


def test_the_features_are_those_of_the_upright_view() -> None:
    method, views = pretext.make(build(1)).eval(), pretext.make_views()
    expected = copy.deepcopy(method.backbone)(views.images[0])
    torch.testing.assert_close(method(views).features, expected)


@pytest.mark.parametrize(("channels", "size", "count"), [(1, 16, 8), (3, 21, 3), (3, 32, 1)])
def test_it_keeps_the_contract(channels: int, size: int, count: int) -> None:
    pretext.check_contract(build(2), channels, size, count)


def test_it_trains_and_resumes() -> None:
    pretext.check_end_to_end(build(1))
