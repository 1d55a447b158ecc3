"""PIRL with rotations and with jigsaw puzzles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import PirlJigsawParams, PirlRotationParams
from fkt.ssl.base import Method, Setting
from fkt.ssl.memory_bank import MemoryBank, draw_negatives
from fkt.ssl.pirl import Pirl
from fkt.ssl.pirl_jigsaw import PirlJigsaw
from fkt.ssl.pirl_rotation import PirlRotation
from fkt.ssl.pretext.tiles import tile_passes
from fkt.training.monitor import warnings_of
from tests import references_pretext as references
from tests.ssl import pretext

COMMON: dict[str, Any] = {
    "embedding_size": 4,
    "temperature": 0.5,
    "num_negatives": 7,
    "bank_momentum": 0.5,
    "transformed_weight": 0.3,
    "loss": "nce",
}


def rotation(**changes: float | str) -> pretext.Build:
    def build(backbone: ResNet, setting: Setting) -> Method:
        return PirlRotation(backbone, PirlRotationParams(**(COMMON | changes)), setting)

    return build


def jigsaw(**changes: float | str) -> pretext.Build:
    def build(backbone: ResNet, setting: Setting) -> Method:
        return PirlJigsaw(backbone, PirlJigsawParams(**(COMMON | changes), tiles=pretext.TILES), setting)

    return build


def pirl(build: pretext.Build) -> Pirl:
    method = pretext.make(build)
    assert isinstance(method, Pirl)
    return method


@pytest.mark.parametrize("build", [rotation, jigsaw])
@pytest.mark.parametrize("loss", ["nce", "info_nce"])
def test_the_loss_is_that_of_both_heads_against_the_bank(build: Any, loss: str) -> None:
    method, views = pirl(build(loss=loss)), pretext.make_views()
    heads: list[Tensor] = []
    last = method.turned_head if isinstance(method, PirlRotation) else method.puzzle_head
    for head in (method.image_head, last):
        assert isinstance(head, torch.nn.Module)
        head.register_forward_hook(lambda *passed: heads.append(passed[2].detach()))
    output = method(views)
    image, transformed = heads
    negatives = draw_negatives(views.ids, 7, 20, views.generator("negatives"))
    slow = getattr(references, loss)
    total = 0.0
    for i, own in enumerate(views.ids.tolist()):
        rows = [method.bank.rows[j].tolist() for j in (own, *negatives[i].tolist())]
        total += 0.3 * slow(transformed[i].tolist(), rows, 0.5) + 0.7 * slow(image[i].tolist(), rows, 0.5)
    assert output.loss.item() == pytest.approx(total / 8, rel=1e-5)


@pytest.mark.parametrize("build", [rotation, jigsaw])
def test_the_bank_takes_in_the_images_after_the_step_and_no_gradient(build: Any) -> None:
    method, views = pirl(build()), pretext.make_views()
    before = method.bank.rows.clone()
    method(views).loss.backward()
    assert torch.equal(method.bank.rows, before), "not during the forward pass"
    assert not method.bank.rows.requires_grad and "bank.rows" in method.state_dict()
    features = pretext.make(build()).backbone(views.images[0])
    method.after_step(0.5)
    expected = MemoryBank(20, 4, 0.5)
    expected.rows.copy_(before)
    expected.update(views.ids, method.image_head(features))
    torch.testing.assert_close(method.bank.rows, expected.rows)
    method.after_step(0.6)
    torch.testing.assert_close(method.bank.rows, expected.rows, msg="once for each forward pass")


def test_lambda_takes_its_head_out_of_the_gradient() -> None:
    for weight, silent in ((0.0, "turned_head"), (1.0, "image_head")):
        found = pretext.gradients(pretext.make(rotation(transformed_weight=weight)), pretext.make_views())
        for name, gradient in found.items():
            assert bool(gradient.any()) != name.startswith(silent), name


def test_the_transformed_image_is_the_view_turned_by_0_to_3_quarters() -> None:
    method, views = pretext.make(rotation()), pretext.make_views()
    seen: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method(views)
    upright, turned = seen
    assert torch.equal(upright, views.images[0])
    same = torch.stack([(torch.rot90(upright, k, (2, 3)) == turned).all(3).all(2).all(1) for k in range(4)])
    assert same.sum(dim=0).tolist() == [1] * 8 and same.any(dim=1).sum() > 1


def test_the_puzzle_is_the_images_own_tiles_in_an_order_of_its_own() -> None:
    method = pretext.make(jigsaw())
    assert isinstance(method, PirlJigsaw)
    view = torch.zeros(8, 1, 24, 24)
    cells = torch.arange(9.0).view(3, 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
    view += cells + 10 * torch.arange(8.0).view(8, 1, 1, 1)
    tiles = method.shuffled(view, torch.Generator().manual_seed(0))
    assert torch.equal(tiles.amin((2, 3, 4)), tiles.amax((2, 3, 4))), "no tile crosses a cell"
    order = tiles[:, :, 0, 0, 0] - 10 * torch.arange(8.0)[:, None]
    assert torch.equal(order.sort(dim=1).values, torch.arange(9.0).expand(8, 9))
    assert len({tuple(row) for row in order.tolist()}) == 8


def test_the_order_of_the_tiles_matters_to_the_head_and_not_to_a_mean_of_tiles() -> None:
    method = pretext.make(jigsaw()).eval()
    assert isinstance(method, PirlJigsaw)
    tiles = torch.randn(2, 9, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    shuffled = tiles[:, torch.tensor([3, 1, 4, 0, 5, 8, 2, 6, 7])]
    assert not torch.allclose(method.embedded(tiles), method.embedded(shuffled), atol=1e-3)
    with torch.no_grad():
        method.puzzle_head.weight.copy_(torch.eye(4).repeat(1, 9) / 9)
    torch.testing.assert_close(method.embedded(tiles), method.embedded(shuffled))


@pytest.mark.parametrize("build", [rotation, jigsaw])
def test_neither_turned_nor_shuffled_images_touch_the_running_statistics(build: Any) -> None:
    method, views = pretext.make(build()), pretext.make_views()
    plain = pretext.make_backbone().train()
    plain(views.images[0])
    method(views)
    for name, value in plain.state_dict().items():
        assert torch.equal(method.backbone.state_dict()[name], value), name


def test_passes_are_counted() -> None:
    assert pretext.make(rotation()).online_passes == 2
    tiles = tile_passes(pretext.make_backbone(), 6, pretext.setting())
    assert pretext.make(jigsaw()).online_passes == 1 + tiles


@pytest.mark.parametrize("build", [rotation, jigsaw])
def test_embeddings_that_collapse_are_told(build: Any) -> None:
    def told() -> str:
        return " ".join(warnings_of([{name: value.item() for name, value in method(views).logs.items()}]))

    method, views = pirl(build(embedding_size=16)), pretext.make_views()
    assert told() == ""
    with torch.no_grad():
        method.image_head.weight[1:] = 0
        method.image_head.bias[1:] = 0
    assert "collapsed onto a line" in told()
    with torch.no_grad():
        method.image_head.weight.zero_()
        method.image_head.bias.fill_(1.0)
    assert "collapsed into a point" in told()


@pytest.mark.parametrize("build", [rotation, jigsaw])
@pytest.mark.parametrize(("channels", "size", "count"), [(1, 16, 8), (3, 21, 3), (3, 32, 2)])
def test_it_keeps_the_contract(build: Any, channels: int, size: int, count: int) -> None:
    pretext.check_contract(build(), channels, size, count)


@pytest.mark.parametrize("build", [rotation, jigsaw])
def test_it_trains_and_resumes(build: Any) -> None:
    pretext.check_end_to_end(build())
