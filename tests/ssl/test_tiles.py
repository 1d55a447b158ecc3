"""Tiles of an image, and the puzzles that are laid from them."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor

from fkt.params.methods_pretext import TilesParams
from fkt.ssl.pretext.puzzles import Puzzles, draw_puzzles
from fkt.ssl.pretext.tiles import Tiler, cut, grayed, projected, standardized, tile_passes
from tests import references_pretext as references
from tests.ssl import pretext

PERMUTATIONS = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(k)) for k in range(5)])


def numbered(count: int, channels: int = 1) -> Tensor:
    """Images of 24 pixels whose value at each pixel tells the image and the cell."""
    cells = torch.arange(9.0).view(3, 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
    return (cells + 10 * torch.arange(float(count)).view(count, 1, 1, 1)).repeat(1, channels, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def from_others(puzzles: Puzzles) -> Tensor:
    """(B, 9) bool: where a tile of another image lies."""
    return puzzles.images != torch.arange(len(puzzles.images))[:, None]


def test_cutting_copies_the_pixels_at_each_place() -> None:
    images = torch.randn(2, 3, 9, 9, generator=generator())
    places = torch.randint(6, (2, 4, 3, 2), generator=generator())
    tiles = cut(images, places, 4)
    assert tiles.shape == (2, 4, 3, 4, 4)
    for b, m, c in [(b, m, c) for b in range(2) for m in range(4) for c in range(3)]:
        top, left = places[b, m, c].tolist()
        assert torch.equal(tiles[b, m, c], images[b, c, top : top + 4, left : left + 4])


def test_tiles_stay_in_their_cells_with_the_jitter_drawn_uniformly() -> None:
    params = TilesParams(puzzle_size=30, tile_size=5, jitter=2, channel_shift=0)
    places = Tiler(params).places(400, 3, generator())
    corners = torch.cartesian_prod(torch.arange(3), torch.arange(3)) * 10 + 1  # (10 - 5 - 2) // 2 is the margin
    offsets = places - corners[None, :, None]
    assert torch.equal(offsets[:, :, :1].expand_as(offsets), offsets), "channels together"
    counts = torch.bincount(offsets[:, :, 0].flatten(), minlength=3)
    assert len(counts) == 3 and stats.chisquare(counts.tolist()).pvalue > 0.01
    gaps = places[:, 1:3, 0, 1] - (places[:, 0:2, 0, 1] + 5)
    assert gaps.min() == 10 - 5 - 2 and gaps.max() == 10 - 5 + 2


def test_channels_are_shifted_apart_within_the_channel_shift() -> None:
    params = TilesParams(puzzle_size=30, tile_size=5, jitter=0, channel_shift=2)
    places = Tiler(params).places(400, 3, generator())
    apart = places[:, :, 0] - places[:, :, 1]
    assert set(apart.unique().tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(("size", "channels"), [(24, 1), (16, 3), (57, 3)])
def test_views_of_any_size_give_nine_tiles(size: int, channels: int) -> None:
    tiles = Tiler(pretext.TILES)(torch.randn(2, channels, size, size, generator=generator()), generator())
    assert tiles.shape == (2, 9, channels, 6, 6) and tiles.isfinite().all()


def test_tiles_are_in_the_order_of_their_cells() -> None:
    tiles = Tiler(pretext.TILES)(numbered(2), generator())
    assert torch.equal(tiles.amax((2, 3, 4)), torch.arange(9.0) + torch.tensor([[0.0], [10.0]]))
    assert torch.equal(tiles.amin((2, 3, 4)), tiles.amax((2, 3, 4)))


def test_each_tile_gets_mean_0_and_deviation_1_over_channels_and_pixels() -> None:
    tiles = torch.randn(4, 9, 3, 6, 6, generator=generator()) * 3 + 5
    tiles[0, 0] = 7.3
    found = standardized(tiles)
    assert not found[0, 0].any(), "a constant tile has no pattern"
    flat = found.flatten(2)
    torch.testing.assert_close(flat.mean(dim=2), torch.zeros(4, 9), atol=1e-5, rtol=0)
    expected = torch.ones(4, 9)
    expected[0, 0] = 0
    torch.testing.assert_close(flat.std(dim=2, correction=0), expected)
    assert flat[2, 3].tolist() == pytest.approx(references.standardized(tiles[2, 3].flatten().tolist()), abs=1e-5)
    torch.testing.assert_close(standardized(tiles * 4 - 1), found, atol=1e-4, rtol=1e-4)


def test_gray_has_equal_channels_and_the_projection_has_no_green_against_magenta() -> None:
    tiles = torch.randn(2, 9, 3, 6, 6, generator=generator())
    gray, flat = grayed(tiles), projected(tiles)
    assert torch.equal(gray[:, :, 0], gray[:, :, 2])
    torch.testing.assert_close(grayed(gray), gray)
    torch.testing.assert_close(2 * flat[:, :, 1], flat[:, :, 0] + flat[:, :, 2])
    torch.testing.assert_close(projected(flat), flat)
    torch.testing.assert_close(grayed(flat), gray, msg="gray lies across the axis")
    one = tiles[:, :, :1]
    assert torch.equal(grayed(one), one) and torch.equal(projected(one), one)


def test_foreign_tiles_are_0_1_or_2_alike_and_different_ones_of_one_other_image() -> None:
    found = torch.zeros(3)
    partners, slots, others_tiles, labels = [], torch.zeros(9), [], []
    for seed in range(150):
        puzzles = draw_puzzles(PERMUTATIONS, 10, 2, generator(seed))
        foreign = from_others(puzzles)
        found += torch.bincount(foreign.sum(dim=1), minlength=3)
        slots += foreign.sum(dim=0)
        assert torch.equal(puzzles.tiles[~foreign], PERMUTATIONS[puzzles.labels][~foreign])
        for i in range(10):
            images, tiles = puzzles.images[i][foreign[i]].tolist(), puzzles.tiles[i][foreign[i]].tolist()
            assert len(set(images)) <= 1 and i not in images and len(set(tiles)) == len(tiles)
            partners += [(image - i) % 10 for image in images[:1]]
            others_tiles += tiles
        labels += puzzles.labels.tolist()
    assert stats.chisquare(found.tolist()).pvalue > 0.01
    assert stats.chisquare(slots.tolist()).pvalue > 0.01
    assert stats.chisquare(torch.bincount(torch.tensor(partners), minlength=10)[1:].tolist()).pvalue > 0.01
    assert stats.chisquare(torch.bincount(torch.tensor(others_tiles), minlength=9).tolist()).pvalue > 0.01
    assert stats.chisquare(torch.bincount(torch.tensor(labels), minlength=5).tolist()).pvalue > 0.01


def test_a_lone_image_and_a_limit_of_0_keep_the_images_own_tiles() -> None:
    for seed in range(20):
        assert not from_others(draw_puzzles(PERMUTATIONS, 1, 2, generator(seed))).any()
        assert not from_others(draw_puzzles(PERMUTATIONS, 6, 0, generator(seed))).any()


def test_puzzles_are_laid_as_drawn_and_undone_by_the_inverse_permutation() -> None:
    tiles = Tiler(pretext.TILES)(numbered(6), generator())
    puzzles = draw_puzzles(PERMUTATIONS, 6, 2, generator(1))
    laid = puzzles.lay(tiles)[:, :, 0, 0, 0]
    assert torch.equal(laid, 10.0 * puzzles.images + puzzles.tiles)
    inverse = PERMUTATIONS[puzzles.labels].argsort(dim=1)
    restored = laid.gather(1, inverse)
    own = ~from_others(puzzles).gather(1, inverse)
    assert torch.equal(restored[own], (10 * torch.arange(6.0)[:, None] + torch.arange(9.0))[own])


def test_nine_tiles_are_counted_by_their_operations() -> None:
    backbone = pretext.make_backbone()
    assert tile_passes(backbone, 16, pretext.setting()) == 9
    assert tile_passes(backbone, 16, pretext.setting(size=48)) == 1, "as many pixels, and no map is rounded"
    assert tile_passes(backbone, 8, pretext.setting(size=48)) == 1 / 4
    assert 9 * 36 / 256 < tile_passes(backbone, 6, pretext.setting()) < 9 * 64 / 256, "maps of 6, 3, 2 and 1 pixels"
    assert backbone.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"puzzle_size": 25}, "multiple of 3"),
        ({"tile_size": 7}, "tile_size . jitter . channel_shift is 9, more than the cell of puzzle_size / 3 = 8"),
        ({"jitter": -1}, "greater than or equal to 0"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TilesParams.model_validate(pretext.TILES.model_dump() | changes)
