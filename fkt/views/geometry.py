"""Crops, flips, rotations and affine maps of whole batches.

A map takes centered pixel coordinates (x, y) of the output to those of the input: input = linear @ output + shift.
Flips and quarter turns only move pixels, so they can be combined with any other step exactly. Two steps that both
interpolate are not combined: in albumentations the second step reads the rounded result of the first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fkt.params import Transform
from fkt.params.augment import Affine, HorizontalFlip, RandomResizedCrop, RandomRotate90, VerticalFlip
from fkt.views.draws import happens, uniform, whole

INTERPOLATING = (RandomResizedCrop, Affine)
GEOMETRIC = (HorizontalFlip, VerticalFlip, RandomRotate90, *INTERPOLATING)

_FLIP_X = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
_FLIP_Y = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
_QUARTER_TURNS = torch.tensor(
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]], [[-1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [-1.0, 0.0]]]
)
_CROP_TRIES = 10


def geometric_passes(steps: Sequence[Transform], image_size: int) -> "list[PixelMoves | Sampling]":
    """Combine consecutive geometric steps into as few passes as possible."""
    runs: list[list[Transform]] = [[]]
    for step in steps:
        if isinstance(step, INTERPOLATING) and _interpolates(runs[-1]):
            runs.append([])
        runs[-1].append(step)
    return [Sampling(run, image_size) if _interpolates(run) else PixelMoves(run) for run in runs]


def _interpolates(steps: Sequence[Transform]) -> bool:
    return any(isinstance(step, INTERPOLATING) for step in steps)


@dataclass
class PixelMoves:
    """Flips and quarter turns. Pixels change places and keep their values, uint8 or float."""

    steps: Sequence[Transform]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 3): whether to transpose, to mirror x, to mirror y, in this order."""
        linear = torch.eye(2).repeat(count, 1, 1)
        for step in self.steps:
            linear = linear @ _draw_moves(step, count, generator)
        transposed = linear[:, 0, 0] == 0
        mirrored = linear.sum(dim=1) < 0  # each column has one entry: the sign of output x, or of output y
        return torch.cat([transposed[:, None], mirrored], dim=1).float()

    def apply(self, images: Tensor, drawn: Tensor, _host: Tensor) -> Tensor:
        """Move the pixels of images (B, C, S, S) of any dtype."""
        transposed, mirror_x, mirror_y = (drawn[:, column, None, None, None] > 0 for column in range(3))
        if any(isinstance(step, RandomRotate90) for step in self.steps):
            images = torch.where(transposed, images.transpose(2, 3), images)
        images = torch.where(mirror_x, images.flip(3), images)
        if any(not isinstance(step, HorizontalFlip) for step in self.steps):
            images = torch.where(mirror_y, images.flip(2), images)
        return images


@dataclass
class Sampling:
    """A crop or an affine map, with the flips and quarter turns before and after it, as one bilinear sampling."""

    steps: Sequence[Transform]
    """One of them interpolates."""
    size: int
    """Side of the images."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, 10): linear (4), shift (2), and the box that may be read: low x, low y, high x, high y."""
        linear, shift = torch.eye(2).repeat(count, 1, 1), torch.zeros(count, 2)
        low, high = torch.full((count, 2), -torch.inf), torch.full((count, 2), torch.inf)
        for step in self.steps:
            match step:
                case RandomResizedCrop():
                    inner, inner_shift, corners = _draw_crop(step, count, self.size, generator)
                    ends = corners @ linear.transpose(1, 2)  # (count, 2, 2): linear is a flip or a turn here
                    low, high = ends.amin(dim=1), ends.amax(dim=1)
                case Affine():
                    inner, inner_shift = _draw_affine(step, count, self.size, generator)
                case _:
                    inner, inner_shift = _draw_moves(step, count, generator), torch.zeros(count, 2)
            shift = shift + (linear @ inner_shift[:, :, None])[:, :, 0]
            linear = linear @ inner
        return torch.cat([linear.flatten(1), shift, low, high], dim=1)

    def boxes(self, drawn: Tensor) -> Tensor:
        """Return the box (..., 4) of each draw (..., 10): left, top, right, bottom in pixels of the input."""
        half = self.size / 2
        return torch.cat([drawn[..., 6:8] + (half - 0.5), drawn[..., 8:] + (half + 0.5)], dim=-1)

    def apply(self, images: Tensor, drawn: Tensor, _host: Tensor) -> Tensor:
        """Sample images (B, C, S, S). Returns float32 in the range of the input, black outside of the input."""
        unit = drawn * (2.0 / self.size)  # grid_sample measures in half image sides
        axis = torch.arange(self.size, dtype=torch.float32, device=images.device) - (self.size - 1) / 2
        grid = torch.empty(len(images), self.size, self.size, 2, device=images.device)
        cropped = any(isinstance(step, RandomResizedCrop) for step in self.steps)
        for coordinate in range(2):
            from_x = unit[:, 2 * coordinate, None, None] * axis
            from_y = unit[:, 2 * coordinate + 1, None, None] * axis[:, None] + unit[:, 4 + coordinate, None, None]
            place = from_x + from_y  # (B, S, S)
            if cropped:  # outside of the box, the border pixels are repeated: the surroundings must not be read
                torch.maximum(place, unit[:, 6 + coordinate, None, None], out=place)
                torch.minimum(place, unit[:, 8 + coordinate, None, None], out=place)
            grid[..., coordinate] = place
        return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _draw_moves(step: Transform, count: int, generator: Generator) -> Tensor:
    """Return the maps (count, 2, 2) of a flip or a quarter turn."""
    applied = happens(generator, count, step.p)
    if isinstance(step, RandomRotate90):
        turns = whole(generator, torch.full((count,), 4.0)).long()
        return _QUARTER_TURNS[turns * applied]
    flip = _FLIP_X if isinstance(step, HorizontalFlip) else _FLIP_Y
    return torch.where(applied[:, None, None], flip, torch.eye(2))


def _draw_crop(step: RandomResizedCrop, count: int, size: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw boxes as albumentations and torchvision do: the first of ten tries that fits, otherwise the center.

    Returns the map, (count, 2, 2) and (count, 2), and the centers of the box's first and last pixel, (count, 2, 2).
    """
    area = uniform(generator, count, step.scale, _CROP_TRIES) * size**2
    ratio = uniform(generator, count, [math.log(side) for side in step.ratio], _CROP_TRIES).exp_()
    tries = torch.stack([(area * ratio).sqrt_().round_(), (area / ratio).sqrt_().round_()], dim=2)  # width, height
    fits = ((tries > 0) & (tries <= size)).all(dim=2)
    box = tries[torch.arange(count), fits.int().argmax(dim=1)]
    start = torch.stack([whole(generator, size - box[:, side].clamp(max=size) + 1) for side in range(2)], dim=1)
    smallest, largest = step.ratio  # if no try fits: the largest centered box that the ratios allow
    center = torch.tensor([float(max(1, min(size, round(side)))) for side in (size * largest, size / smallest)])
    found = fits.any(dim=1, keepdim=True)
    box, start = torch.where(found, box, center), torch.where(found, start, ((size - center) / 2).floor())
    applied = happens(generator, count, step.p)[:, None]
    box, start = torch.where(applied, box, float(size)), torch.where(applied, start, 0.0)
    first = start - (size - 1) / 2
    corners = torch.stack([first, first + box - 1], dim=1)
    return torch.diag_embed(box / size), corners.mean(dim=1), corners


def _draw_affine(step: Affine, count: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw the inverse of albumentations' map: translate @ shear @ rotate @ scale about the center.

    As in albumentations, shifts are truncated to whole pixels, and a positive shear moves against the axis.
    """
    shift = (uniform(generator, count, step.translate_percent, 2) * size).trunc_()
    slope = uniform(generator, count, step.shear, 2).neg_().deg2rad_().tan_()
    scale = uniform(generator, count, step.scale)
    angle = uniform(generator, count, step.rotate).deg2rad_()
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    rotated = torch.stack([torch.stack([cosine, sine], 1), torch.stack([-sine, cosine], 1)], 1)
    sheared = torch.eye(2).repeat(count, 1, 1)
    sheared[:, 0, 1], sheared[:, 1, 0] = slope[:, 0], slope[:, 1]
    inverse = torch.linalg.inv(sheared @ rotated)
    applied = happens(generator, count, step.p)
    linear = torch.where(applied[:, None, None], inverse, torch.eye(2))
    return linear, torch.where(applied[:, None], -(inverse @ shift[:, :, None])[:, :, 0], 0.0)
