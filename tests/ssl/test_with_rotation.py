"""Rotation prediction beside another method."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params import SimCLRParams
from fkt.params.methods_pretext import PirlRotationParams
from fkt.ssl.base import Method, Setting
from fkt.ssl.pirl_rotation import PirlRotation
from fkt.ssl.pretext.quarter_turns import draw_turns, quarter_turned
from fkt.ssl.simclr import SimCLR
from fkt.ssl.with_rotation import WithRotation
from tests.ssl import pretext

SIMCLR = SimCLRParams(projector_hidden=8, projector_size=4, temperature=0.5, false_negatives="keep")


def simclr(backbone: ResNet, setting: Setting) -> Method:
    return SimCLR(backbone, SIMCLR, setting)


def build(weight: float) -> pretext.Build:
    def made(backbone: ResNet, setting: Setting) -> Method:
        return WithRotation(simclr(backbone, setting), weight, 8)

    return made


def views() -> pretext.Views:
    return pretext.make_views(2)


def test_weight_0_leaves_the_base_methods_gradient_features_and_network_bit_for_bit() -> None:
    base, wrapped = pretext.make(simclr), pretext.make(build(0.0))
    expected = pretext.gradients(base, views())
    found = pretext.gradients(wrapped, views())
    for name, gradient in expected.items():
        full = name if name.startswith("backbone.") else f"method.{name}"
        assert torch.equal(found.pop(full), gradient), name
    assert all(not gradient.any() for name, gradient in found.items() if name.startswith("head."))
    for name, value in base.backbone.state_dict().items():
        assert torch.equal(wrapped.backbone.state_dict()[name], value), name
    assert torch.equal(base(views()).features, wrapped(views()).features)


def test_the_loss_is_linear_in_the_weight_and_its_gradient_the_sum_of_both() -> None:
    outputs = {weight: pretext.make(build(weight))(views()) for weight in (0.0, 0.5, 2.0)}
    rotation = outputs[0.0].logs["rotation_loss"]
    assert rotation > 0.1
    for weight, output in outputs.items():
        torch.testing.assert_close(output.loss.detach(), output.logs["base_loss"] + weight * rotation)
        torch.testing.assert_close(output.logs["base_loss"], pretext.make(simclr)(views()).loss.detach())
    none, one, two = (pretext.gradients(pretext.make(build(weight)), views()) for weight in (0.0, 1.0, 2.0))
    for name, gradient in one.items():
        torch.testing.assert_close(gradient - none[name], (two[name] - none[name]) / 2, rtol=1e-3, atol=1e-5)


def test_weight_02_is_the_releases_rot_wt_01() -> None:
    method = pretext.make(build(0.2))
    logits: list[Tensor] = []
    method.head.register_forward_hook(lambda *passed: logits.append(passed[2]))  # type: ignore[union-attr]
    output = method(views())
    turns = draw_turns(16, views().generator("with_rotation"))
    ce_1, ce_2 = (F.cross_entropy(logits[0][half], turns[half]) for half in (slice(0, 8), slice(8, 16)))
    torch.testing.assert_close(output.loss - output.logs["base_loss"], 0.1 * (ce_1 + ce_2))


def test_the_online_backbone_sees_each_view_turned_by_its_own_angle_and_the_base_method_none() -> None:
    method = pretext.make(build(1.0))
    seen: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method(views())
    upright = torch.cat(views().images)
    assert len(seen) == 2 and torch.equal(seen[0], upright)
    turns = draw_turns(16, views().generator("with_rotation"))
    assert torch.equal(seen[1], quarter_turned(upright, turns))
    assert not torch.equal(turns[:8], turns[8:])


def test_turns_are_uniform_and_independent_between_the_views_of_an_image() -> None:
    table = torch.zeros(4, 4, dtype=torch.int64)
    for step in range(150):
        first, second = draw_turns(40, pretext.make_views(step=step).generator("with_rotation")).chunk(2)
        table.index_put_((first, second), torch.ones(20, dtype=torch.int64), accumulate=True)
    assert stats.chisquare(table.sum(0).tolist()).pvalue > 0.01
    assert stats.chisquare(table.sum(1).tolist()).pvalue > 0.01
    assert stats.chi2_contingency(table.numpy()).pvalue > 0.01


def test_a_zero_head_gives_log_4() -> None:
    method = pretext.make(build(1.0))
    torch.nn.init.zeros_(method.head[-1].weight)  # type: ignore[index,union-attr,arg-type]
    torch.nn.init.zeros_(method.head[-1].bias)  # type: ignore[index,union-attr,arg-type]
    assert method(views()).logs["rotation_loss"].item() == pytest.approx(math.log(4), rel=1e-6)


def test_it_counts_the_passes_of_both_and_passes_after_step_on() -> None:
    params = PirlRotationParams(
        embedding_size=4,
        temperature=0.07,
        num_negatives=5,
        bank_momentum=0.5,
        transformed_weight=0.5,
        loss="nce",
    )
    method = pretext.make(lambda backbone, setting: WithRotation(PirlRotation(backbone, params, setting), 0.5, 8))
    assert (method.num_views, method.online_passes, method.target_passes) == (1, 3, 0)
    bank = method.method.bank.rows  # type: ignore[union-attr]
    before = copy.deepcopy(bank)
    method(pretext.make_views())
    assert torch.equal(bank, before)
    method.after_step(0.5)
    assert not torch.equal(bank, before)


def test_rotation_is_learned_from_images_with_an_up_side() -> None:
    method = pretext.make(build(1.0))
    ramp = torch.linspace(-2, 2, 16).view(1, 1, 16, 1).expand(8, 1, 16, 16)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.003)
    hits = []
    for step in range(40):
        made = pretext.make_views(2, step=step)
        shown = pretext.Views(tuple(ramp + 0.1 * view for view in made.images), made.labels, made.ids, made.key)
        output = method(shown)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        hits.append(output.logs["rotation_accuracy"].item())
    assert sum(hits[:2]) / 2 < 0.6 and sum(hits[-5:]) / 5 > 0.95


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        pretext.make(build(-1.0))


@pytest.mark.parametrize(("channels", "size", "count"), [(1, 16, 8), (3, 21, 3), (3, 32, 1)])
def test_it_keeps_the_contract(channels: int, size: int, count: int) -> None:
    pretext.check_contract(build(0.2), channels, size, count)


def test_it_trains_and_resumes() -> None:
    pretext.check_end_to_end(build(0.2))
