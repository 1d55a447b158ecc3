"""Permutations, tiles and puzzles, and Jigsaw++, which is trained on them."""

import itertools
import math
import statistics
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor

from fkt.params.methods import TilesParams
from fkt.ssl.pretext.puzzles import all_permutations, distant_permutations, draw_puzzles
from fkt.ssl.pretext.tiles import cut, draw_places, draw_tiles, grayed, projected, standardized, tile_passes
from tests import references_pretext as references
from tests.ssl.harness import SETTING, TILES, backbone, build, views

PERMUTATIONS = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(k)) for k in range(5)])


def distances(permutations: Tensor) -> list[int]:
    return [references.hamming(one, other) for one, other in itertools.combinations(permutations.tolist(), 2)]


def numbered(count: int) -> Tensor:
    """Images of 24 pixels whose values are 10 * the image's number + the cell's number."""
    cells = torch.arange(9.0).view(3, 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
    return cells + 10 * torch.arange(float(count)).view(count, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_uniform(counts: Tensor) -> bool:
    return stats.chisquare(counts.tolist()).pvalue > 0.01


def from_others(images: Tensor) -> Tensor:
    """(B, 9) bool: the places with a tile of another image."""
    return images != torch.arange(len(images))[:, None]


@pytest.mark.parametrize("items", [1, 2, 3, 5])
def test_all_permutations_are_in_the_table_once(items: int) -> None:
    table = all_permutations(items)
    assert len({tuple(row) for row in table.tolist()}) == len(table) == math.factorial(items)
    assert torch.equal(table.sort(dim=1).values, torch.arange(items, dtype=torch.uint8).expand_as(table))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("items", "count"), [(3, 6), (4, 24), (5, 30)])
def test_each_chosen_permutation_is_the_best_remaining_one(items: int, count: int, seed: int) -> None:
    chosen = distant_permutations(count, items, seed).tolist()
    assert len({tuple(one) for one in chosen}) == count
    for number in range(1, count):
        apart = [references.hamming(chosen[number], other) for other in chosen[:number]]
        assert (min(apart), sum(apart)) == references.best_next(chosen[:number], items)


def test_the_chosen_permutations_depend_on_the_seed_only() -> None:
    first = distant_permutations(10, 5, 3)
    assert torch.equal(first, distant_permutations(10, 5, 3))
    assert not torch.equal(first, distant_permutations(10, 5, 4))
    assert torch.equal(first[:4], distant_permutations(4, 5, 3)), "a smaller set is the beginning of a larger one"


@pytest.mark.parametrize(("count", "least"), [(40, 7), pytest.param(701, 3, marks=pytest.mark.slow)])
def test_permutations_of_nine_tiles_are_at_least_as_distant_as_those_of_the_authors(count: int, least: int) -> None:
    chosen = distant_permutations(count, 9, 0)
    apart = distances(chosen)
    assert chosen.dtype == torch.int64 and min(apart) >= least and statistics.mean(apart) > 7.9


@pytest.mark.parametrize("count", [0, 7])
def test_a_number_of_permutations_that_does_not_exist_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="there are 6 permutations of 3"):
        distant_permutations(count, 3, 0)


def test_cutting_copies_the_pixels_at_each_place() -> None:
    images = torch.randn(2, 3, 9, 9, generator=generator())
    places = torch.randint(6, (2, 4, 3, 2), generator=generator())
    tiles = cut(images, places, 4)
    assert tiles.shape == (2, 4, 3, 4, 4)
    for b, m, c in itertools.product(range(2), range(4), range(3)):
        top, left = places[b, m, c].tolist()
        assert torch.equal(tiles[b, m, c], images[b, c, top : top + 4, left : left + 4])


def test_tiles_stay_in_their_cells_and_their_jitter_is_uniform() -> None:
    params = TilesParams(puzzle_size=30, tile_size=5, jitter=2, channel_shift=0)
    places = draw_places(params, 400, 3, generator())
    corners = torch.cartesian_prod(torch.arange(3), torch.arange(3)) * 10 + 1  # (10 - 5 - 2) // 2 is the margin
    offsets = places - corners[None, :, None]
    assert torch.equal(offsets[:, :, :1].expand_as(offsets), offsets), "channels together"
    counts = torch.bincount(offsets[:, :, 0].flatten(), minlength=3)
    assert len(counts) == 3 and is_uniform(counts)
    gaps = places[:, 1:3, 0, 1] - (places[:, 0:2, 0, 1] + 5)
    assert gaps.min() == 10 - 5 - 2 and gaps.max() == 10 - 5 + 2


def test_channels_are_shifted_by_at_most_the_channel_shift() -> None:
    params = TilesParams(puzzle_size=30, tile_size=5, jitter=0, channel_shift=2)
    places = draw_places(params, 400, 3, generator())
    assert set((places[:, :, 0] - places[:, :, 1]).unique().tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(("size", "channels"), [(24, 1), (16, 3), (57, 3)])
def test_views_of_any_size_give_nine_tiles_in_the_order_of_their_cells(size: int, channels: int) -> None:
    tiles = draw_tiles(torch.randn(2, channels, size, size, generator=generator()), TILES, generator())
    assert tiles.shape == (2, 9, channels, 6, 6) and tiles.isfinite().all()
    tiles = draw_tiles(numbered(2), TILES, generator())
    assert torch.equal(tiles.amax((2, 3, 4)), torch.arange(9.0) + torch.tensor([[0.0], [10.0]]))
    assert torch.equal(tiles.amin((2, 3, 4)), tiles.amax((2, 3, 4)))


def test_standardized_tiles_have_mean_0_and_standard_deviation_1() -> None:
    tiles = torch.randn(4, 9, 3, 6, 6, generator=generator()) * 3 + 5
    tiles[0, 0] = 7.3
    found = standardized(tiles)
    assert not found[0, 0].any(), "a constant tile becomes 0"
    for flat, original in zip(found.flatten(2)[2], tiles.flatten(2)[2], strict=True):
        assert flat.tolist() == pytest.approx(references.standardized(original.tolist()), abs=1e-5)
    torch.testing.assert_close(standardized(tiles * 4 - 1), found, atol=1e-4, rtol=1e-4)


def test_gray_tiles_have_equal_channels_and_projected_ones_no_difference_of_green_and_magenta() -> None:
    tiles = torch.randn(2, 9, 3, 6, 6, generator=generator())
    gray, flat = grayed(tiles), projected(tiles)
    assert torch.equal(gray[:, :, 0], gray[:, :, 2])
    torch.testing.assert_close(grayed(gray), gray)
    torch.testing.assert_close(2 * flat[:, :, 1], flat[:, :, 0] + flat[:, :, 2])
    torch.testing.assert_close(projected(flat), flat)
    torch.testing.assert_close(grayed(flat), gray, msg="gray is orthogonal to the axis")
    one = tiles[:, :, :1]
    assert torch.equal(grayed(one), one) and torch.equal(projected(one), one)


def test_foreign_tiles_are_different_random_tiles_of_one_other_image() -> None:
    found, slots = torch.zeros(3), torch.zeros(9)
    partners, others_tiles, labels = torch.zeros(10), torch.zeros(9), torch.zeros(5)
    for seed in range(150):
        label, images, tiles = draw_puzzles(PERMUTATIONS, 10, 2, generator(seed))
        foreign = from_others(images)
        found += torch.bincount(foreign.sum(dim=1), minlength=3)
        slots += foreign.sum(dim=0)
        assert torch.equal(tiles[~foreign], PERMUTATIONS[label][~foreign])
        for i in range(10):
            others, taken = images[i][foreign[i]], tiles[i][foreign[i]]
            assert len(others.unique()) <= 1 and i not in others and len(taken.unique()) == len(taken)
            partners[(others[:1] - i) % 10] += 1
            others_tiles[taken] += 1
        labels += torch.bincount(label, minlength=5)
    assert all(is_uniform(counts) for counts in (found, slots, partners[1:], others_tiles, labels))


@pytest.mark.parametrize(("count", "max_foreign"), [(1, 2), (6, 0)])
def test_a_single_image_and_a_limit_of_0_keep_their_own_tiles(count: int, max_foreign: int) -> None:
    for seed in range(20):
        _, images, _ = draw_puzzles(PERMUTATIONS, count, max_foreign, generator(seed))
        assert not from_others(images).any()


def test_nine_tiles_are_counted_by_their_operations() -> None:
    body = backbone()
    assert tile_passes(body, 16, SETTING) == 9
    assert 9 * 36 / 256 < tile_passes(body, 6, SETTING) < 9 * 64 / 256, "maps of 6, 3, 2 and 1 pixels"
    larger = replace(SETTING, image_size=48)
    assert tile_passes(body, 16, larger) == 1, "as many pixels, and no map is rounded up"
    assert tile_passes(body, 8, larger) == 1 / 4
    assert body.training


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
        TilesParams.model_validate(TILES.model_dump() | changes)


def test_puzzles_are_laid_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fkt.ssl.jigsaw_pp.standardized", lambda tiles: tiles)
    method = build("jigsaw_pp")
    laid, labels = method.puzzles(numbered(6), generator(1))
    expected, images, tiles = draw_puzzles(method.permutations, 6, 2, generator(1))
    assert torch.equal(laid[:, :, 0, 0, 0], 10.0 * images + tiles)
    assert torch.equal(labels, expected)
    assert torch.equal(method.state_dict()["permutations"], distant_permutations(5, 9, 0))


def test_a_puzzle_loses_its_colors_as_a_whole_with_the_given_probabilities() -> None:
    method = build("jigsaw_pp", tiles=TILES.model_copy(update={"channel_shift": 0}))
    gray = flat = 0
    for seed in range(30):
        tiles, _ = method.puzzles(torch.randn(20, 3, 16, 16, generator=generator(seed)), generator(seed))
        is_gray = ((tiles[:, :, 0] - tiles[:, :, 2]).abs() < 1e-4).flatten(2).all(2)
        is_flat = ((2 * tiles[:, :, 1] - tiles[:, :, 0] - tiles[:, :, 2]).abs() < 1e-4).flatten(2).all(2)
        assert torch.equal(is_gray.any(1), is_gray.all(1)) and torch.equal(is_flat.any(1), is_flat.all(1))
        gray += int(is_gray.all(1).sum())
        flat += int((is_flat & ~is_gray).all(1).sum())
    assert stats.binomtest(gray, 600, 0.5).pvalue > 0.01
    assert stats.binomtest(flat, 600, 0.25).pvalue > 0.01, "half of those that kept their colors"


def test_the_loss_is_the_cross_entropy_of_the_permutation_from_standardized_tiles() -> None:
    method, made = build("jigsaw_pp"), views(1)
    seen: list[Tensor] = []
    logits: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.classifier.register_forward_hook(lambda *passed: logits.append(passed[2]))
    output = method(made)
    (passed,) = seen  # the tiles alone, and no whole view
    assert passed.shape == (72, 1, 6, 6) and len(output.features) == 72
    torch.testing.assert_close(standardized(passed), passed)
    tiles, labels = method.puzzles(made.images[0], made.generator("jigsaw_pp"))
    assert torch.equal(tiles.transpose(0, 1).flatten(0, 1), passed), "place after place"
    rows = zip(logits[0].tolist(), labels.tolist(), strict=True)
    expected = sum(references.cross_entropy(row, label) for row, label in rows) / 8
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(output.logs["puzzle_accuracy"], (logits[0].argmax(dim=1) == labels).float().mean())


def test_uniform_logits_give_the_log_of_the_permutations_and_full_entropy() -> None:
    method = build("jigsaw_pp")
    torch.nn.init.zeros_(method.classifier[-1].weight)
    torch.nn.init.zeros_(method.classifier[-1].bias)
    output = method(views(1))
    assert output.loss.item() == pytest.approx(math.log(5), rel=1e-6)
    assert output.logs["puzzle_chance"].item() == pytest.approx(0.2)
    assert output.logs["puzzle_entropy"].item() == pytest.approx(1)
    with torch.no_grad():
        method.classifier[-1].bias[2] = 100.0
    assert method(views(1)).logs["puzzle_entropy"].item() == pytest.approx(0, abs=1e-6)
