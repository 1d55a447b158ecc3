"""Color changes, blur, solarization, noise and erasing of whole batches, on float images in [0, 255].

As in albumentations, values are clipped to [0, 255] after every operation. Unlike there, they are not rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from fkt.params import Transform
from fkt.params.augment import ColorJitter, GaussianBlur, Solarize, ToGray
from fkt.views.draws import happens, uniform

COLOR = (ColorJitter, ToGray)
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as in OpenCV and torchvision."""
_SAME = torch.tensor([1.0, 0.0, 0.0])


class ColorChanges:
    """Consecutive color steps; a jitter has its own order of operations for each image.

    All operations except hue are ``a * image + b * gray + c * mean(gray)``, so that one pass serves the whole batch.
    """

    def __init__(self, steps: Sequence[Transform], channels: int) -> None:
        """Images of one channel have no hue and no saturation."""
        if channels == 1:
            jitters = [step for step in steps if isinstance(step, ColorJitter)]
            steps = [step.model_copy(update={"saturation": 0.0, "hue": 0.0}) for step in jitters]
        self.steps = list(steps)
        self.widths = [11 if isinstance(step, ColorJitter) else 1 for step in self.steps]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, K): 11 numbers of each jitter (see _draw_jitter), 1 if ToGray is applied."""
        parts = [
            _draw_jitter(step, count, generator)
            if isinstance(step, ColorJitter)
            else happens(generator, count, step.p)[:, None]
            for step in self.steps
        ]
        return torch.cat([torch.empty(count, 0), *parts], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Change the colors of images (B, C, H, W)."""
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
    """Return (count, 11): a, b, c of brightness, contrast and saturation in random order, the hue shift and its slot.

    The hue shift is in sixths of the circle. Its slot is the number of operations before it, or 4 for no hue shift.
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
    turns = torch.rand(count, 4, generator=generator)  # their ranks are the order of the four operations
    order = turns[:, :3].argsort(dim=1)
    slot = (turns[:, :3] < turns[:, 3:]).sum(dim=1)
    slot = torch.where(applied & (shift != 0), slot, 4)
    ordered = rows.gather(1, order[:, :, None].expand_as(rows)).flatten(1)
    return torch.cat([ordered, shift[:, None], slot[:, None]], dim=1)


def _jitter(images: Tensor, numbers: Tensor, slots: Tensor, step: ColorJitter) -> None:
    """Jitter images in place. numbers: (B, 11, 1, 1); slots: (B,) on the CPU."""
    for slot in range(4):
        if images.shape[1] == 3 and step.hue > 0:
            chosen = (slots == slot).nonzero()[:, 0].to(images.device)
            if len(chosen):
                turned = shift_hue(images.index_select(0, chosen), numbers[:, 9, :, :].index_select(0, chosen))
                images.index_copy_(0, chosen, turned)
        if slot < 3:
            _mix(images, numbers[:, 3 * slot : 3 * slot + 3])


def gray_of(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of images (B, C, H, W)."""
    if images.shape[1] == 1:
        return images
    gray = images[:, :1] * LUMA[0]
    return gray.add_(images[:, 1:2], alpha=LUMA[1]).add_(images[:, 2:3], alpha=LUMA[2])


def _mix(images: Tensor, numbers: Tensor) -> None:
    """Overwrite images with a * images + b * gray + c * mean(gray), clipped. numbers: (B, 3, 1, 1)."""
    own, of_gray, of_mean = torch.split(numbers, 1, dim=1)
    gray = gray_of(images)
    added = gray.mean(dim=(2, 3), keepdim=True).mul_(of_mean)
    if images.shape[1] == 3:
        added = gray.mul_(of_gray).add_(added)
    images.mul_(own).add_(added).clamp_(0, 255)


def shift_hue(images: Tensor, sixths: Tensor) -> Tensor:
    """Shift the hue of images (B, 3, H, W) by (B, 1, 1) sixths of the circle. Value and saturation of HSV stay.

    If the channels are scaled so that the largest is 1 and the smallest is 0, then the distance of the hue from red is
    1 - r + g + b on both sides of red, and the sign of g - b is the side. So no case distinction is needed. The new
    channels follow from the distances to red (0), green (2) and blue (-2) on the circle of 6.
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


class Blur:
    """Gaussian blur as two matrix products, one for the rows and one for the columns of an image.

    As in albumentations, the kernel reaches int(3.5 sigma) pixels to each side, and the border is mirrored.
    """

    def __init__(self, step: GaussianBlur, image_size: int) -> None:
        """Compute which pixel each offset of the largest kernel reads: (K, S * S), one row per offset."""
        self.step = step
        self.reach = int(step.sigma_limit[1] * 3.5)
        pixel, offset = torch.arange(image_size), torch.arange(-self.reach, self.reach + 1)
        period = max(1, 2 * (image_size - 1))
        mirrored = (pixel[:, None] + offset).remainder(period)  # (S, K)
        source = torch.minimum(mirrored, period - mirrored)
        self.reads = torch.nn.functional.one_hot(source, image_size).float().transpose(0, 1).flatten(1)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 2): sigma (0 if the step is not applied) and the reach of the kernel."""
        sigma = uniform(generator, count, self.step.sigma_limit)
        reach = (sigma * 3.5).floor_().clamp_(max=self.reach)
        applied = happens(generator, count, self.step.p)
        return torch.stack([sigma * applied, reach], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Blur images (B, C, S, S)."""
        images = images.float()
        chosen = host[:, 0].nonzero()[:, 0].to(images.device)
        if not len(chosen):
            return images
        sigma, reach = drawn[chosen, :1], drawn[chosen, 1:]
        offset = torch.arange(-self.reach, self.reach + 1, dtype=torch.float32, device=images.device)
        kernel = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= reach)
        kernel /= kernel.sum(dim=1, keepdim=True)
        size = images.shape[3]
        matrix = (kernel @ self.reads.to(images.device)).view(-1, 1, size, size)  # without scatter: deterministic
        blurred = matrix @ images.index_select(0, chosen) @ matrix.transpose(2, 3)
        return images.index_copy_(0, chosen, blurred)


@dataclass
class Solarization:
    """Inversion of pixels that are at least as bright as a threshold."""

    step: Solarize
    image_size: int

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 1): thresholds in [0, 255], infinite if the step is not applied."""
        threshold = uniform(generator, count, self.step.threshold_range) * 255
        return torch.where(happens(generator, count, self.step.p), threshold, torch.inf)[:, None]

    def apply(self, images: Tensor, drawn: Tensor, _host: Tensor) -> Tensor:
        """Invert the bright pixels of images (B, C, H, W)."""
        images = images.float()
        return torch.where(images >= drawn[:, :, None, None], 255 - images, images)
