"""Good crops on synthetic masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.views.good_crops import good_pairs, object_share
from tests import references_pretext as references


def square_mask() -> Tensor:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    return mask


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 8, 8), 1.0),
        ((2, 2, 6, 6), 1.0),
        ((2, 2, 4, 6), 0.5),
        ((0, 0, 4, 4), 0.25),
        ((6, 6, 8, 8), 0.0),
        ((0, 0, 2.5, 8), 0.125),
        ((-4, -4, 12, 4), 0.5),
        ((3, 3, 3, 8), 0.0),
    ],
)
def test_the_share_of_a_square_object_is_the_area_of_it_in_the_crop(box: tuple[float, ...], share: float) -> None:
    assert object_share(square_mask(), torch.tensor([box])).item() == pytest.approx(share)


def test_the_share_of_a_saliency_map_is_that_of_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 5, 7, generator=generator)
    ends = torch.rand(6, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([7, 5])
    boxes = (ends * 8).round() / 8
    boxes = boxes.flatten(1)  # left, top, right, bottom
    expected = [references.object_share(one.tolist(), box.tolist()) for one, box in zip(maps, boxes, strict=True)]
    assert object_share(maps, boxes).tolist() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(object_share(maps * 7, boxes), object_share(maps, boxes))


def test_a_pair_is_good_where_both_crops_hold_enough() -> None:
    masks = square_mask().expand(4, 8, 8)
    whole, half, none = [0.0, 0, 8, 8], [0.0, 0, 4, 8], [6.0, 6, 8, 8]
    a, b = torch.tensor([whole, whole, half, none]), torch.tensor([whole, half, half, whole])
    assert good_pairs(masks, a, b, 0.5).tolist() == [True, True, True, False]
    assert good_pairs(masks, a, b, 0.6).tolist() == [True, False, False, False]
    assert torch.equal(good_pairs(masks, a, b, 0.6), good_pairs(masks, b, a, 0.6))


def test_a_higher_threshold_never_makes_a_pair_good_and_a_larger_crop_never_bad() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(50, 8, 8, generator=generator) > 0.7
    boxes = [(torch.rand(50, 2, 2, generator=generator).sort(dim=1).values * 8).flatten(1) for _ in range(2)]
    good = [good_pairs(masks, *boxes, threshold) for threshold in (0.1, 0.2, 0.4)]
    assert (good[1] <= good[0]).all() and (good[2] <= good[1]).all() and good[0].any() and not good[0].all()
    larger = [box + torch.tensor([-1.0, -1, 1, 1]) for box in boxes]
    assert (good[1] <= good_pairs(masks, larger[0], larger[1], 0.2)).all()


@pytest.mark.parametrize("threshold", [0.1, 1.0])
def test_an_image_without_an_object_has_no_good_crop_and_a_whole_image_is_one_at_any_threshold(
    threshold: float,
) -> None:
    whole = torch.tensor([[0.0, 0, 30, 30]])
    assert not good_pairs(torch.zeros(1, 30, 30), whole, whole, threshold).item()
    saliency = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    assert good_pairs(saliency, whole, whole, threshold).item()


def test_what_does_not_fit_is_refused() -> None:
    mask, box = square_mask(), torch.tensor([[0.0, 0, 4, 4]])
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        object_share(mask, box.expand(2, 4))
    with pytest.raises(ValueError, match="not 0 or more"):
        object_share(mask.float() - 0.5, box)
    with pytest.raises(ValueError, match="before it begins"):
        object_share(mask, box.flip(1))
    for threshold in (0.0, 1.5):
        with pytest.raises(ValueError, match="threshold"):
            good_pairs(mask, box, box, threshold)
