"""Crops that are judged by masks: in the batched engine, in batches, and on the augmentation sheet."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fkt.data.keys import keyed_generator
from fkt.params import Augment
from fkt.sheet import crops_line, draw_sheet
from fkt.views.batched_engine import BatchedPipeline
from fkt.views.good_crops import DRAWS, good_draws, judged_index, object_share
from fkt.views.loader import Loader
from fkt.views.pipeline import build_pipeline
from tests import references_pretext as references
from tests.raw.pictures import SIMCLR, fake_split, meta, step

SIZE, COUNT = 16, 60
CROP = step("RandomResizedCrop", scale=[0.1, 1.0], ratio=[0.75, 1.333])
TURNED = [CROP, step("HorizontalFlip", 0.5), step("RandomRotate90", 0.7)]
AFTER = [*TURNED, *SIMCLR[2:]]


def objects(count=COUNT, size=SIZE, seed=0):
    """Masks (count, size, size) of soft objects at places of their own."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 2, 1, generator=generator) * 0.7 + 0.15
    axis = (torch.arange(size) + 0.5) / size
    near = torch.exp(-(((axis - center) / 0.12) ** 2))
    return (255 * near[:, 0, :, None] * near[:, 1, None, :]).round().to(torch.uint8)


def maps_of_places(count=COUNT, size=SIZE):
    """Images (count, 3, size, size) whose first channels hold each pixel's column and row: a view tells its box."""
    ramp = (torch.arange(size) * 16).to(torch.uint8)
    channels = [ramp.expand(size, size), ramp[:, None].expand(size, size), torch.zeros(size, size, dtype=torch.uint8)]
    return torch.stack(channels).expand(count, -1, -1, -1)


def boxes_seen(views):
    """The box (left, top, right, bottom) that each view of ``maps_of_places`` shows, read off its pixels."""
    places = views[:, :2] * (255 / 16)
    low, high = places.amin((2, 3)), places.amax((2, 3))
    return torch.cat([low, high + 1], dim=1).double().round(decimals=3)


def shares_seen(views, masks):
    boxes = boxes_seen(views).tolist()
    return [references.object_share(mask.tolist(), box, finer=1) for mask, box in zip(masks, boxes, strict=True)]


def pipelines(steps, least):
    return BatchedPipeline(steps, meta(SIZE, 3)), BatchedPipeline(steps, meta(SIZE, 3), least)


@pytest.mark.parametrize("least", [0.3, 0.6, 0.9])
def test_views_hold_the_share_of_the_object_that_is_asked_for(least):
    images, masks = maps_of_places(), objects()
    plain, judging = pipelines(TURNED, least)
    shares = {"plain": [], "judged": []}
    for number in range(4):
        shares["plain"] += shares_seen(plain(images, number), masks)
        shares["judged"] += shares_seen(judging(images, number, masks=masks), masks)
        found = judging.crop_shares(masks, number)
        assert found[0].tolist() == pytest.approx(shares["plain"][-COUNT:], abs=1e-6)
        assert found[1].tolist() == pytest.approx(shares["judged"][-COUNT:], abs=1e-6)
    held = {name: sum(share >= least - 1e-6 for share in found) / len(found) for name, found in shares.items()}
    assert held["plain"] < 0.85
    assert held["judged"] > 1 - (1 - held["plain"]) ** (DRAWS / 2)  # some objects are harder to hold than others


def test_after_the_last_draw_the_best_one_is_kept():
    masks = torch.full((COUNT, SIZE, SIZE), 255, dtype=torch.uint8)  # a crop's share is its area
    small = [step("RandomResizedCrop", scale=[0.1, 0.5], ratio=[1.0, 1.0])]
    generator = keyed_generator("key")
    crop = BatchedPipeline(small, meta(SIZE, 3)).passes[0]
    sides = [crop.draw(COUNT, generator)[:, 0], *crop.draw((DRAWS - 1) * COUNT, generator)[:, 0].split(COUNT)]
    kept = BatchedPipeline(small, meta(SIZE, 3), 0.9).crop_shares(masks, "key")[1]
    torch.testing.assert_close(kept, torch.stack(sides).amax(0).double() ** 2)


def test_the_choice_among_draws_is_the_first_good_one_or_the_best_one_or_the_first_of_an_empty_mask():
    generator = torch.Generator().manual_seed(0)
    masks = objects(40)
    masks[::8] = 0
    low = torch.randint(0, 12, (5, 40, 2), generator=generator)
    boxes = torch.cat([low, low + torch.randint(1, 9, (5, 40, 2), generator=generator)], dim=2).clamp(max=SIZE)
    draws = torch.arange(5)[:, None, None].expand(5, 40, 1)
    chosen = good_draws(draws, boxes, masks, 0.5)[:, 0].tolist()
    seen = set()
    for image in range(40):
        shares = [references.object_share(masks[image].tolist(), boxes[n, image].tolist(), finer=1) for n in range(5)]
        good = [n for n in range(5) if shares[n] >= 0.5]
        expected = good[0] if good else shares.index(max(shares))
        assert chosen[image] == expected
        seen.add("good" if good else "best" if max(shares) else "empty")
    assert seen == {"good", "best", "empty"}


@pytest.mark.parametrize("steps", [TURNED, AFTER], ids=["crop and turns", "all"])
def test_only_views_whose_first_crop_is_not_good_are_others_than_without_masks(steps):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    plain, judging = pipelines(steps, 0.5)
    before, after = plain(images, 7), judging(images, 7, masks=objects())
    first, kept = judging.crop_shares(objects(), 7)
    same = (before == after).flatten(1).all(dim=1)
    assert torch.equal(same, (first >= 0.5) | (first == kept))
    assert same.any() and not same.all()


@pytest.mark.parametrize("steps", [TURNED, AFTER], ids=["crop and turns", "all"])
def test_at_0_the_views_are_those_of_the_passes_and_masks_change_no_bit(steps):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    pipeline = build_pipeline(steps, "batched", meta(SIZE, 3, 0.4, 0.3), object_share=0.0)
    found = pipeline(images, 3)
    assert torch.equal(pipeline(images, 3, masks=objects()), found)
    numbers = keyed_generator(3)  # one draw a pass, in their order, and no more
    drawn = [one.draw(COUNT, numbers) for one in pipeline.passes]
    expected = images
    for one, its in zip(pipeline.passes, drawn, strict=True):
        expected = one.apply(expected, its, its)
    assert torch.equal(found, ((expected / 255) - 0.4) / 0.3)


def test_judged_views_depend_on_key_and_mask_alone(monkeypatch):
    images, masks = maps_of_places(), objects()
    judging = pipelines(AFTER, 0.5)[1]
    found = judging(images, 1, "view", masks=masks)
    assert torch.equal(judging(images, 1, "view", masks=masks), found)
    assert not torch.equal(judging(images, 2, "view", masks=masks), found)
    assert torch.equal(judging(images, 1, "view", masks=masks // 2 * 2), judging(images, 1, "view", masks=masks // 2))
    monkeypatch.setattr("fkt.views.batched_engine.CHUNK_VALUES", 7 * 3 * SIZE**2)
    torch.testing.assert_close(judging(images, 1, "view", masks=masks), found, rtol=0, atol=1e-5)


def test_shares_are_those_of_all_masks_at_once_and_found_for_a_few_at_a_time(monkeypatch):
    masks, judging = objects(), pipelines(AFTER, 0.5)[1]
    together = judging.crop_shares(masks, 1)
    sizes = []

    def watched(some, boxes):
        sizes.append(len(some))
        return object_share(some, boxes)

    monkeypatch.setattr("fkt.views.batched_engine.object_share", watched)
    monkeypatch.setattr("fkt.views.batched_engine.CHUNK_VALUES", 7 * SIZE**2)
    found = judging.crop_shares(masks, 1)
    assert set(sizes) == {7, COUNT % 7} and sum(sizes) == 2 * COUNT
    assert all(torch.equal(one, other) for one, other in zip(found, together, strict=True))


def test_without_masks_a_judging_pipeline_refuses_to_work():
    with pytest.raises(AssertionError, match="every call is given masks"):
        pipelines(TURNED, 0.5)[1](maps_of_places(), 0)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 2), (0.5, 11), (1.0, 21)])
def test_the_judged_images_are_a_share_of_all_and_lie_inside_every_larger_one(share, count):
    found = judged_index(21, share, 3)
    assert len(found) == count and found.tolist() == sorted(set(found.tolist()))
    assert set(found.tolist()) <= set(judged_index(21, min(1.0, share + 0.3), 3).tolist())
    assert count in (0, 21) or found.tolist() != judged_index(21, share, 4).tolist()


def masked_split():
    return dataclasses.replace(fake_split(21, SIZE, 3), _masks=objects(21))


def loader(split, object_share=0.6, judged=None, images=None, num_views=2):
    return Loader(
        split,
        torch.arange(0, 21, 2),
        ssl_labelled=torch.arange(0),
        num_views=num_views,
        views=build_pipeline(AFTER, "batched", split.meta, object_share=object_share),
        images=images,
        batch_size=21,
        seed=0,
        judged=judged,
    )


def test_batches_judge_the_crops_of_the_chosen_images_by_their_own_masks():
    split, judged = masked_split(), torch.tensor([1, 2, 3, 5, 8, 13])
    off, some = loader(split, 0.0).batch(4).views, loader(split, judged=judged).batch(4).views
    every = loader(split, judged=torch.arange(21)).batch(4).views
    assert torch.equal(some.ids, off.ids)
    chosen = torch.isin(some.ids, judged)
    for view in range(2):
        assert torch.equal(some.images[view][~chosen], off.images[view][~chosen])
        assert torch.equal(some.images[view][chosen], every.images[view][chosen])
        assert not torch.equal(every.images[view], off.images[view])
    pipeline = build_pipeline(AFTER, "batched", split.meta, object_share=0.6)
    expected = pipeline(split.images(every.ids), 0, "view", 1, 4, masks=split.masks(every.ids))
    assert torch.equal(every.images[1], expected)


def test_labelled_images_are_judged_only_where_they_are_made_views():
    split = masked_split()
    plain = build_pipeline(AFTER, "batched", split.meta)
    judging = build_pipeline(AFTER, "batched", split.meta, object_share=0.6)
    everything = torch.arange(21)
    expected = loader(split, 0.0, images=plain, num_views=0).batch(2).images
    assert torch.equal(loader(split, judged=everything, images=plain).batch(2).images, expected)
    assert not torch.equal(loader(split, judged=everything, images=judging).batch(2).images, expected)


def test_the_sheet_shows_judged_views_and_says_how_many_crops_hold_the_object():
    split = masked_split()
    section = {"views": [one.model_dump() for one in AFTER], "labelled": [], "engine": "batched", "good_crops": 1.0}
    off, on = (Augment.model_validate(section | {"object_share": share}) for share in (0.0, 0.6))
    shown = [
        [axes.images[0].get_array().tobytes() for axes in draw_sheet(split, augment).axes] for augment in (off, on)
    ]
    assert shown[0] != shown[1]
    pipeline = build_pipeline(AFTER, "batched", split.meta, object_share=0.6)
    held = [100 * (shares >= 0.6).double().mean().item() for shares in pipeline.crop_shares(objects(21), "sheet")]
    said = crops_line(split, on)
    assert f"of the crops of 21 training images {held[0]:.1f} % hold 0.6 of the object as first drawn" in said
    assert f"{held[1]:.1f} % after up to 10 draws" in said and held[1] > held[0]
    empty = dataclasses.replace(split, _masks=torch.zeros_like(objects(21)))
    assert crops_line(empty, on) == "all masks are empty: no crop is judged"


@pytest.mark.parametrize(("good_crops", "said"), [(1.0, ""), (0.25, "25 %"), (0.0, "0 %")])
def test_the_sheet_says_whose_crops_are_judged_in_training(good_crops, said):
    split = masked_split()
    section = {"views": [CROP.model_dump()], "labelled": [], "engine": "batched", "good_crops": good_crops}
    off, on = (Augment.model_validate(section | {"object_share": share}) for share in (0.0, 0.6))
    title = " ".join(draw_sheet(split, on).texts[0].get_text().split())
    for text in (title, crops_line(split, on)):
        assert ("good_crops" in text) == bool(said)
        assert said in text
    assert "good_crops" not in draw_sheet(split, off).texts[0].get_text(), "no crop is judged at all"


@pytest.mark.gpu
def test_the_gpu_judges_as_the_cpu_does():
    images, masks = maps_of_places(), objects()
    judging = pipelines(AFTER, 0.6)[1]
    there = judging(images.cuda(), 1, masks=masks.cuda())
    torch.testing.assert_close(there.cpu(), judging(images, 1, masks=masks), rtol=0, atol=1e-4)
    for number in range(20):
        assert torch.equal(judging.crop_shares(masks.cuda(), number)[1].cpu(), judging.crop_shares(masks, number)[1])
