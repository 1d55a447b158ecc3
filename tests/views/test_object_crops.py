"""Crops chosen by masks: the shares, the choice, and the pipelines, batches and sheet that use it."""

import numpy as np
import pytest
import torch

from fkt.core.errors import ParamsError
from fkt.data.keys import keyed_generator
from fkt.params import Augment
from fkt.sheet import draw_sheet
from fkt.views.geometry import Sampling
from fkt.views.loader import Loader
from fkt.views.object_crops import DRAWS, ObjectCrops, object_shares, open_object_crops
from fkt.views.pipeline import build_pipeline
from tests import references_pretext as references
from tests.fakes import write_prepared
from tests.views.pictures import SIMCLR, fake_split, meta, step

SIZE, COUNT = 16, 60
TURNED = [
    step("RandomResizedCrop", scale=[0.1, 1.0], ratio=[0.75, 1.333]),
    step("HorizontalFlip", 0.5),
    step("RandomRotate90", 0.7),
]
ALL = [*TURNED, *SIMCLR[2:]]
EVERY = torch.arange(COUNT)


def objects(count=COUNT):
    """Masks of soft objects at random places. The first mask is empty."""
    center = torch.rand(count, 2, 1, generator=torch.Generator().manual_seed(0)) * 0.7 + 0.15
    near = torch.exp(-((((torch.arange(SIZE) + 0.5) / SIZE - center) / 0.12) ** 2))
    masks = (255 * near[:, 0, :, None] * near[:, 1, None, :]).round().to(torch.uint8)
    masks[0] = 0
    return masks


def choice(least_share, selected=None, count=COUNT):
    selected = torch.ones(count, dtype=torch.bool) if selected is None else selected
    return ObjectCrops(objects(count).numpy(), least_share, selected)


def share(mask, box):
    return references.object_share(mask.tolist(), box.tolist(), finer=1)


def boxes_seen(crop, drawn):
    """The boxes (left, top, right, bottom) of crops, read from the pixels of an image of pixel positions."""
    column = torch.arange(SIZE, dtype=torch.float32).expand(len(drawn), 1, SIZE, SIZE)
    places = crop.apply(torch.cat([column, column.transpose(2, 3)], dim=1), drawn, drawn)
    return torch.cat([places.amin((2, 3)), places.amax((2, 3)) + 1], dim=1).double().round(decimals=3)


def section(object_share, good_crops=1.0):
    views = [one.model_dump() for one in ALL]
    return Augment(engine="batched", object_share=object_share, good_crops=good_crops, views=views, labelled=[])


def test_the_share_of_an_object_in_a_box_is_that_of_the_reference():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 256, (6, 5, 7), dtype=torch.uint8, generator=generator)
    masks[3] = 0
    ends = [torch.randint(0, side + 1, (4, 6, 2), generator=generator).sort(dim=2).values for side in (7, 5)]
    boxes = torch.stack(ends, dim=3).flatten(2).float()  # left, top, right, bottom
    boxes[0] = torch.tensor([0.0, 0, 7, 5])
    found = object_shares(masks, boxes)
    assert found[0].tolist() == [1, 1, 1, 0, 1, 1]
    for draw, image in torch.cartesian_prod(torch.arange(4), torch.arange(6)):
        assert found[draw, image].item() == pytest.approx(share(masks[image], boxes[draw, image]), abs=1e-12)


@pytest.mark.parametrize("least_share", [0.3, 0.6, 0.95])
def test_the_first_good_draw_is_chosen_or_the_best_one_or_the_first_one_without_a_mask(least_share):
    masks, crop, selected = objects(), Sampling(TURNED, SIZE), torch.arange(COUNT) % 5 > 0
    generator = keyed_generator("key")
    first = crop.draw(COUNT, generator)
    draws = [first, *crop.draw((DRAWS - 1) * COUNT, generator).split(COUNT)]
    seen = torch.stack([boxes_seen(crop, one) for one in draws])
    generator = keyed_generator("key")
    chosen = choice(least_share, selected).choose(crop, crop.draw(COUNT, generator), EVERY, generator)
    changed = 0
    for image in range(COUNT):
        shares = [share(masks[image], seen[draw, image]) for draw in range(DRAWS)]
        good = [draw for draw in range(DRAWS) if shares[draw] >= least_share]
        expected = (good[0] if good else shares.index(max(shares))) if selected[image] else 0
        assert torch.equal(chosen[image], draws[expected][image])
        changed += expected > 0
    assert changed > 5


@pytest.mark.parametrize("steps", [TURNED, ALL], ids=["crop and turns", "all"])
def test_views_change_only_if_another_crop_is_chosen(steps):
    images = torch.randint(0, 256, (COUNT, 3, SIZE, SIZE), dtype=torch.uint8, generator=keyed_generator(0))
    plain = build_pipeline(steps, "batched", meta(SIZE, 3))(images, 7)
    none = choice(0.5, torch.zeros(COUNT, dtype=torch.bool))
    assert torch.equal(build_pipeline(steps, "batched", meta(SIZE, 3), none)(images, 7, index=EVERY), plain)
    pipeline = build_pipeline(steps, "batched", meta(SIZE, 3), choice(0.5))
    views = pipeline(images, 7, index=EVERY)
    assert torch.equal(pipeline(images, 7, index=EVERY), views)
    first = pipeline.passes[0].draw(COUNT, keyed_generator(7))
    good = [share(mask, box) >= 0.5 for mask, box in zip(objects(), boxes_seen(pipeline.passes[0], first), strict=True)]
    same = (views == plain).flatten(1).all(dim=1)
    assert same[torch.tensor(good)].all() and same[0], "good first crops, and the crop of an empty mask"
    assert not same[1:].all()


def test_the_share_of_good_crops_selects_images_by_the_seed(tmp_path):
    assert open_object_crops(tmp_path, section(0.0), 0) is None
    with pytest.raises(ParamsError, match="was prepared without masks; set prepare.masks: saliency or files, and run"):
        open_object_crops(tmp_path, section(0.5), 0)
    write_prepared(tmp_path)
    np.save(tmp_path / "masks.npy", objects(21).numpy())
    before = torch.zeros(21, dtype=torch.bool)
    for good_crops, count in ((0.0, 0), (0.1, 2), (0.5, 11), (1.0, 21)):
        selected = open_object_crops(tmp_path, section(0.5, good_crops), 3).selected
        assert selected.sum() == count
        assert (selected >= before).all(), "a smaller share is a subset of a larger one"
        before = selected
    seeds = [open_object_crops(tmp_path, section(0.5, 0.5), seed).selected for seed in (3, 4)]
    assert not torch.equal(*seeds)


def test_a_batch_uses_the_masks_of_its_own_images():
    split = fake_split(21, SIZE, 3)
    plain, choosing = (build_pipeline(ALL, "batched", split.meta, crops) for crops in (None, choice(0.6, count=21)))

    def batch(views, images=None):
        labelled = torch.arange(0, 21, 2)
        return Loader(
            split, labelled, ssl_labelled=labelled[:0], num_views=2, views=views, images=images, batch_size=21, seed=0
        ).batch(4)

    found, before = batch(choosing, plain), batch(plain, plain)
    ids = found.views.ids
    assert torch.equal(found.views.images[1], choosing(split.images(ids), 0, "view", 1, 4, index=ids))
    assert not torch.equal(found.views.images[1], before.views.images[1])
    assert torch.equal(found.images, before.images), "their pipeline chooses no crops"
    assert not torch.equal(batch(plain, choosing).images, before.images)


def test_the_sheet_shows_the_chosen_crops_and_the_summary_counts_them():
    split, crops = fake_split(21, SIZE, 3), choice(0.6, count=21)
    sheets = [draw_sheet(split, section(0.6, 0.25), {}, one) for one in (None, crops)]
    shown = [[axes.images[0].get_array().tobytes() for axes in sheet.axes] for sheet in sheets]
    assert shown[0] != shown[1]
    titles = [" ".join(sheet.texts[0].get_text().split()) for sheet in sheets]
    assert "25 % of the images in training" in titles[1] and "crops" not in titles[0]

    crop, index = Sampling(TURNED[:1], SIZE), torch.arange(1, 21)  # without the empty mask
    first = crop.draw(20, keyed_generator("summary"))
    shares = [share(mask, box) for mask, box in zip(objects(21)[1:], boxes_seen(crop, first), strict=True)]
    good = 100 * sum(one >= 0.6 for one in shares) / len(index)
    assert crops.summary(crop).startswith(f"crops of 20 training images: {good:.1f} % contain 0.6 of the object in the")
    crops.masks[:] = 0
    assert crops.summary(crop) == "all masks are empty: no crop is drawn again"


@pytest.mark.gpu
def test_the_gpu_shows_the_crops_that_the_cpu_chooses():
    images = torch.randint(0, 256, (COUNT, 3, SIZE, SIZE), dtype=torch.uint8, generator=keyed_generator(0))
    pipeline = build_pipeline(ALL, "batched", meta(SIZE, 3), choice(0.6))
    there = pipeline(images.cuda(), 1, index=EVERY)
    torch.testing.assert_close(there.cpu(), pipeline(images, 1, index=EVERY), rtol=0, atol=1e-4)
