"""Good crops on synthetic masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.views.good_crops import object_share
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


def test_a_larger_crop_never_holds_less() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(50, 8, 8, generator=generator) > 0.7
    boxes = (torch.rand(50, 2, 2, generator=generator).sort(dim=1).values * 8).flatten(1)
    shares, larger = object_share(masks, boxes), object_share(masks, boxes + torch.tensor([-1.0, -1, 1, 1]))
    assert (larger >= shares).all() and (larger > shares).any()


def test_no_crop_holds_an_object_that_is_not_there_and_the_whole_image_holds_all_of_one_that_is() -> None:
    whole = torch.tensor([[0.0, 0, 30, 30]])
    assert object_share(torch.zeros(1, 30, 30), whole).item() == 0
    saliency = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    assert object_share(saliency, whole).item() == pytest.approx(1.0, abs=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    mask, box = square_mask(), torch.tensor([[0.0, 0, 4, 4]])
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        object_share(mask, box.expand(2, 4))
    with pytest.raises(ValueError, match="not 0 or more"):
        object_share(mask.float() - 0.5, box)
    with pytest.raises(ValueError, match="before it begins"):
        object_share(mask, box.flip(1))
