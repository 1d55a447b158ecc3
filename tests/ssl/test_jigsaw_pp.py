"""Jigsaw++; its tiles and puzzles are tested in test_tiles.py."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import JigsawPPParams, TilesParams
from fkt.ssl.base import Setting
from fkt.ssl.jigsaw_pp import JigsawPP
from fkt.ssl.pretext.permutations import distant_permutations
from fkt.ssl.pretext.tiles import tile_passes
from tests import references_pretext as references
from tests.ssl import pretext

COMMON: dict[str, Any] = {
    "tiles": pretext.TILES,
    "num_permutations": 5,
    "permutation_seed": 0,
    "max_foreign": 2,
    "gray_probability": 0.5,
    "projection_probability": 0.5,
    "tile_embedding": 6,
    "hidden": 8,
}


@pytest.fixture(autouse=True, scope="module")
def _permutations_once() -> Any:
    """Choosing among 9! permutations takes a good part of a second: here once for all methods."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fkt.ssl.jigsaw_pp.distant_permutations", functools.cache(distant_permutations))
        yield


def build(**changes: float) -> pretext.Build:
    def made(backbone: ResNet, setting: Setting) -> JigsawPP:
        return JigsawPP(backbone, JigsawPPParams(**(COMMON | changes)), setting)

    return made


def jigsaw(channels: int = 1, **changes: float) -> JigsawPP:
    method = pretext.make(build(**changes), channels)
    assert isinstance(method, JigsawPP)
    return method


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_puzzle_loses_its_colors_as_a_whole_in_the_shares_that_are_set() -> None:
    method = jigsaw(channels=3, tiles=TilesParams(puzzle_size=24, tile_size=6, jitter=1, channel_shift=0))
    gray = flat = total = 0
    for seed in range(30):
        tiles, _ = method.puzzles(torch.randn(20, 3, 16, 16, generator=generator(seed)), generator(seed))
        is_gray = ((tiles[:, :, 0] - tiles[:, :, 2]).abs() < 1e-4).flatten(2).all(2)
        is_flat = ((2 * tiles[:, :, 1] - tiles[:, :, 0] - tiles[:, :, 2]).abs() < 1e-4).flatten(2).all(2)
        assert torch.equal(is_gray.any(1), is_gray.all(1)) and torch.equal(is_flat.any(1), is_flat.all(1))
        gray += int(is_gray.all(1).sum())
        flat += int((is_flat & ~is_gray).all(1).sum())
        total += 20
    assert stats.binomtest(gray, total, 0.5).pvalue > 0.01
    assert stats.binomtest(flat, total, 0.25).pvalue > 0.01, "half of those that kept their colors"


def test_the_loss_is_the_cross_entropy_of_the_permutation_from_features_of_standardized_tiles() -> None:
    method, views = jigsaw(), pretext.make_views()
    seen: list[Tensor] = []
    logits: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.classifier.register_forward_hook(lambda *passed: logits.append(passed[2]))
    output = method(views)
    assert torch.equal(seen[0], views.images[0]) and seen[1].shape == (72, 1, 6, 6)
    torch.testing.assert_close(seen[1].mean(dim=(1, 2, 3)), torch.zeros(72), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[1].std(dim=(1, 2, 3), correction=0), torch.ones(72))
    tiles, labels = method.puzzles(views.images[0], views.generator("jigsaw_pp"))
    assert torch.equal(tiles.flatten(0, 1), seen[1])
    rows = zip(logits[0].tolist(), labels.tolist(), strict=True)
    expected = sum(references.cross_entropy(row, label) for row, label in rows) / 8
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    hits = (logits[0].argmax(dim=1) == labels).float().mean()
    torch.testing.assert_close(output.logs["puzzle_accuracy"], hits)
    assert output.logs["puzzle_chance"].item() == pytest.approx(0.2)


def test_uniform_logits_give_the_log_of_the_permutations_and_full_entropy() -> None:
    method = jigsaw()
    torch.nn.init.zeros_(method.classifier[-1].weight)  # type: ignore[arg-type]
    torch.nn.init.zeros_(method.classifier[-1].bias)  # type: ignore[arg-type]
    output = method(pretext.make_views())
    assert output.loss.item() == pytest.approx(math.log(5), rel=1e-6)
    assert output.logs["puzzle_entropy"].item() == pytest.approx(1)
    with torch.no_grad():
        method.classifier[-1].bias[2] = 100.0  # type: ignore[index]
    assert method(pretext.make_views()).logs["puzzle_entropy"].item() == pytest.approx(0, abs=1e-6)


def test_the_whole_views_alone_set_the_running_statistics_and_are_the_features() -> None:
    method, views = jigsaw(), pretext.make_views()
    plain = pretext.make_backbone().train()
    expected = plain(views.images[0])
    torch.testing.assert_close(method(views).features, expected)
    for name, value in plain.state_dict().items():
        assert torch.equal(method.backbone.state_dict()[name], value), name
    assert all(layer.track_running_stats for layer in method.modules() if isinstance(layer, torch.nn.BatchNorm2d))


def test_the_permutations_are_kept_with_the_weights() -> None:
    method = jigsaw()
    assert torch.equal(method.state_dict()["permutations"], distant_permutations(5, 9, 0))


def test_tiles_cost_a_share_of_a_pass() -> None:
    method = jigsaw()
    assert method.online_passes == 1 + tile_passes(method.backbone, 6, pretext.setting())


@pytest.mark.parametrize(("channels", "size", "count"), [(1, 16, 8), (3, 21, 3), (3, 32, 1)])
def test_it_keeps_the_contract(channels: int, size: int, count: int) -> None:
    pretext.check_contract(build(), channels, size, count)


def test_it_trains_and_resumes() -> None:
    pretext.check_end_to_end(build())
