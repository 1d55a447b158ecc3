"""Blur, solarization, noise and erasing of whole batches, on float images in [0, 255]."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from fkt.params.augment import Erasing, GaussianBlur, GaussNoise, Solarize
from fkt.views.draws import happens, uniform, whole

_WORD = 0xFFFFFFFF


class Blur:
    """Gaussian blur as two matrix products, one for the rows and one for the columns of an image.

    The kernel is albumentations': int(3.5 sigma) pixels to either side, mirrored at the border.
    """

    def __init__(self, step: GaussianBlur, image_size: int) -> None:
        """Prepare which pixel each offset of the largest kernel reads: (K, S * S), one row an offset."""
        self.step = step
        self.reach = int(step.sigma_limit[1] * 3.5)
        pixel, offset = torch.arange(image_size), torch.arange(-self.reach, self.reach + 1)
        period = max(1, 2 * (image_size - 1))
        mirrored = (pixel[:, None] + offset).remainder(period)  # (S, K)
        source = torch.minimum(mirrored, period - mirrored)
        self.reads = torch.nn.functional.one_hot(source, image_size).float().transpose(0, 1).flatten(1)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 2): the deviation (0 where the step does not happen) and the kernel's reach."""
        sigma = uniform(generator, count, self.step.sigma_limit)
        reach = (sigma * 3.5).floor_().clamp_(max=self.reach)
        applied = happens(generator, count, self.step.p)
        return torch.stack([sigma * applied, reach], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Blur (B, C, S, S) images; float input is overwritten."""
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


class Solarization:
    """What is at least as bright as the threshold is inverted."""

    def __init__(self, step: Solarize) -> None:
        """Take the step."""
        self.step = step

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 1): thresholds in [0, 255]; infinite where the step does not happen."""
        threshold = uniform(generator, count, self.step.threshold_range) * 255
        return torch.where(happens(generator, count, self.step.p), threshold, torch.inf)[:, None]

    def apply(self, images: Tensor, drawn: Tensor, _host: Tensor) -> Tensor:
        """Invert the bright pixels of (B, C, H, W) images."""
        images = images.float()
        return torch.where(images >= drawn[:, :, None, None], 255 - images, images)


class Noise:
    """Independent Gaussian noise for each pixel and channel.

    Only the images' seeds are drawn on the CPU; the pixels' numbers are a hash of seed and place, so that a GPU
    makes the same noise without waiting for millions of numbers from the CPU.
    """

    def __init__(self, step: GaussNoise) -> None:
        """Take the step."""
        self.step = step

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 3): the deviation in [0, 255] (0 where the step does not happen) and 2 x 24 bits of seed."""
        deviation = uniform(generator, count, self.step.std_range) * 255 * happens(generator, count, self.step.p)
        seeds = torch.randint(2**24, (count, 2), generator=generator)  # whole numbers that float32 holds exactly
        return torch.cat([deviation[:, None], seeds.float()], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Add noise to (B, C, H, W) images, saturated at 0 and 255; float input is overwritten."""
        images = images.to(torch.float32, memory_format=torch.contiguous_format)
        chosen = host[:, 0].nonzero()[:, 0].to(images.device)
        if len(chosen):
            noise = hashed_normal(drawn[chosen, 1:].long(), math.prod(images.shape[1:]))
            noise = noise.view(len(chosen), *images.shape[1:]) * drawn[chosen, 0, None, None, None]
            images[chosen] = noise.add_(images[chosen]).clamp_(0, 255)
        return images


def hashed_normal(seeds: Tensor, count: int) -> Tensor:
    """Return (B, count) standard normal numbers that are a function of (B, 2) integer seeds (Box and Muller, 1958)."""
    pairs = (count + 1) // 2
    counter = torch.arange(2 * pairs, device=seeds.device)
    words = _mixed(_mixed(counter ^ _mixed(seeds[:, :1])) ^ seeds[:, 1:])  # (B, 2 * pairs)
    uniforms = words.float().add_(0.5).mul_(2.0**-32)
    radius = uniforms[:, :pairs].log().mul_(-2).clamp_(min=0).sqrt_()
    angle = uniforms[:, pairs:].mul(2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _mixed(words: Tensor) -> Tensor:
    """Hash 32-bit words held in int64; constants of C. Wellons' hash prospector (lowbias32), no product over 2^63."""
    words = ((words ^ (words >> 16)) * 0x21F0AAAD) & _WORD
    words = ((words ^ (words >> 15)) * 0x735A2D97) & _WORD
    return words ^ (words >> 15)


class Erasure:
    """One black rectangle (arXiv:1708.04896), drawn as albumentations does."""

    def __init__(self, step: Erasing, image_size: int) -> None:
        """Take the step."""
        self.step = step
        self.size = image_size

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 4): left, top, right and bottom; an empty rectangle where the step does not happen."""
        (small, large), (narrow, wide) = self.step.scale, self.step.ratio
        area = uniform(generator, count, (small, min(large, narrow, 1 / wide)))  # share of the square image
        ratio = torch.rand(count, generator=generator) * (wide - narrow) + narrow
        sides = torch.stack([(area * ratio).sqrt_(), (area / ratio).sqrt_()], dim=1).mul_(self.size).round_()
        sides.clamp_(max=self.size)
        start = torch.stack([whole(generator, self.size - sides[:, side] + 1) for side in range(2)], dim=1)
        sides *= happens(generator, count, self.step.p)[:, None]
        return torch.cat([start, start + sides], dim=1)

    def apply(self, images: Tensor, drawn: Tensor, _host: Tensor) -> Tensor:
        """Black out the rectangles of (B, C, S, S) images; float input is overwritten."""
        axis = torch.arange(self.size, device=images.device)
        columns = (axis >= drawn[:, 0, None]) & (axis < drawn[:, 2, None])
        rows = (axis >= drawn[:, 1, None]) & (axis < drawn[:, 3, None])
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return images.float().masked_fill_(inside, 0)
