"""Brightness, contrast, saturation, hue and gray of whole batches, on float images in [0, 255].

Each image goes through its own order of operations. All but hue are ``a * image + b * gray + c * mean(gray)``, so
one pass serves the whole batch whatever each image draws. As in albumentations, values saturate at 0 and 255 after
every operation; unlike there, they are not rounded to whole numbers in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from fkt.params import Transform
from fkt.params.augment import ColorJitter, ToGray
from fkt.views.draws import happens, uniform

COLOR = (ColorJitter, ToGray)
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as OpenCV and torchvision have them."""
_SAME = torch.tensor([1.0, 0.0, 0.0])


class ColorChanges:
    """Consecutive color steps."""

    def __init__(self, steps: Sequence[Transform], channels: int) -> None:
        """Take the steps in the order of their application; one channel has neither hue nor saturation."""
        if channels == 1:
            jitters = [step for step in steps if isinstance(step, ColorJitter)]
            steps = [step.model_copy(update={"saturation": 0.0, "hue": 0.0}) for step in jitters]
        self.steps = list(steps)
        self.widths = [11 if isinstance(step, ColorJitter) else 1 for step in self.steps]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, K): a jitter has three times a, b, c, then the hue's shift and slot; ToGray has yes or no."""
        parts = [
            _draw_jitter(step, count, generator)
            if isinstance(step, ColorJitter)
            else happens(generator, count, step.p)[:, None]
            for step in self.steps
        ]
        return torch.cat([torch.empty(count, 0), *parts], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Change the colors of (B, C, H, W) images; float input is overwritten."""
        images = images.to(torch.float32, memory_format=torch.contiguous_format)
        numbers = torch.split(drawn[:, :, None, None], self.widths, dim=1)
        for step, own, known in zip(self.steps, numbers, torch.split(host, self.widths, dim=1), strict=True):
            if isinstance(step, ColorJitter):
                _jitter(images, own, known[:, 10], step)
            else:
                chosen = known[:, 0].nonzero()[:, 0].to(images.device)
                gray = gray_of(images.index_select(0, chosen))
                images.index_copy_(0, chosen, gray.expand(-1, 3, -1, -1))
        return images


def _draw_jitter(step: ColorJitter, count: int, generator: Generator) -> Tensor:
    """Return (count, 11): brightness, contrast and saturation in random order, the hue's shift, and its slot.

    The shift is in sixths of the circle; the slot says how many of the other three come before it (4: it is skipped).
    """
    ranges = [(max(0.0, 1 - width), 1 + width) for width in (step.brightness, step.contrast, step.saturation)]
    rows = torch.zeros(count, 3, 3)
    for column, limits in enumerate(ranges):
        rows[:, column, 0] = uniform(generator, count, limits)
    rows[:, 1, 2] = 1 - rows[:, 1, 0]  # contrast: away from the mean of gray
    rows[:, 2, 1] = 1 - rows[:, 2, 0]  # saturation: away from gray
    shift = uniform(generator, count, (-6 * step.hue, 6 * step.hue))
    applied = happens(generator, count, step.p)
    rows = torch.where(applied[:, None, None], rows, _SAME)
    turns = torch.rand(count, 4, generator=generator)  # who comes when
    order = turns[:, :3].argsort(dim=1)
    slot = (turns[:, :3] < turns[:, 3:]).sum(dim=1)
    slot = torch.where(applied & (shift != 0), slot, 4)
    ordered = rows.gather(1, order[:, :, None].expand_as(rows)).flatten(1)
    return torch.cat([ordered, shift[:, None], slot[:, None]], dim=1)


def _jitter(images: Tensor, numbers: Tensor, slots: Tensor, step: ColorJitter) -> None:
    """Overwrite images with their jittered selves; numbers (B, 11, 1, 1), slots (B,) on the CPU."""
    for slot in range(4):
        if images.shape[1] == 3 and step.hue > 0:
            chosen = (slots == slot).nonzero()[:, 0].to(images.device)
            if len(chosen):
                turned = shift_hue(images.index_select(0, chosen), numbers[:, 9, :, :].index_select(0, chosen))
                images.index_copy_(0, chosen, turned)
        if slot < 3:
            _mix(images, numbers[:, 3 * slot : 3 * slot + 3])


def gray_of(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of (B, C, H, W) images; a gray image is its own."""
    if images.shape[1] == 1:
        return images
    gray = images[:, :1] * LUMA[0]
    return gray.add_(images[:, 1:2], alpha=LUMA[1]).add_(images[:, 2:3], alpha=LUMA[2])


def _mix(images: Tensor, numbers: Tensor) -> None:
    """Overwrite images with a * images + b * gray + c * mean(gray), saturated; numbers (B, 3, 1, 1)."""
    own, of_gray, of_mean = torch.split(numbers, 1, dim=1)
    gray = gray_of(images)
    added = gray.mean(dim=(2, 3), keepdim=True).mul_(of_mean)
    if images.shape[1] == 3:
        added = gray.mul_(of_gray).add_(added)
    images.mul_(own).add_(added).clamp_(0, 255)


def shift_hue(images: Tensor, sixths: Tensor) -> Tensor:
    """Turn the hue of (B, 3, H, W) images by (B, 1, 1) sixths of the circle; HSV's value and saturation stay.

    With the channels scaled so that the largest is 1 and the smallest 0, the hue's distance from red is
    1 - r + g + b on either side, and its side is the sign of g - b: no case distinction is needed. The new channels
    follow from the distances to red (0), green (2) and blue (-2) on the circle of 6.
    """
    red, green, blue = images.unbind(1)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue).sub_(smallest)
    distance = (green + blue).sub_(red).sub_(smallest).div_(chroma.clamp(min=1e-6)).add_(1)
    hue = distance.copysign_(green - blue).add_(sixths)
    hue.sub_((hue / 6).round_(), alpha=6)  # in [-3, 3]
    floor = smallest.sub_(chroma)
    turned = torch.empty_like(images)
    for channel, center in enumerate((0.0, 2.0, -2.0)):
        nearness = (hue - center).abs_().sub_(3).abs_().clamp_(1, 2)  # 1 + clamp(2 - circular distance, 0, 1)
        torch.addcmul(floor, chroma, nearness, out=turned[:, channel])
    return turned
