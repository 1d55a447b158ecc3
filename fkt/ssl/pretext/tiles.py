"""Nine tiles of an image: where they lie, how they are cut, and what is taken out of them that would betray them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from fkt.models.flops import forward_flops
from fkt.params.methods_pretext import TilesParams
from fkt.ssl.base import Setting

SIDE = 3
NUM_TILES = SIDE * SIDE
_GREEN_MAGENTA = torch.tensor([-1.0, 2.0, -1.0])


class Tiler:
    """Cuts views into tiles, each from a place of its own inside its cell of a 3 x 3 grid."""

    def __init__(self, params: TilesParams) -> None:
        self.params = params

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """(B, C, S, S) float of any S -> (B, 9, C, T, T), row by row; generator: on the CPU."""
        size = (self.params.puzzle_size, self.params.puzzle_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return cut(images, self.places(len(images), images.shape[1], generator), self.params.tile_size)

    def places(self, count: int, channels: int, generator: Generator) -> Tensor:
        """Return (count, 9, channels, 2) int64: the row and the column at which each channel of each tile begins.

        Uniform within the jitter for each tile and direction, and within the channel shift for each channel. What
        the cell has beyond them is gap, half of it on either side, so that tiles share no edge that would fit.
        """
        params, cell = self.params, self.params.puzzle_size // SIDE
        margin = (cell - params.tile_size - params.jitter - params.channel_shift) // 2
        cells = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)) * cell + margin  # (9, 2)
        jitter = torch.randint(params.jitter + 1, (count, NUM_TILES, 1, 2), generator=generator)
        shift = torch.randint(params.channel_shift + 1, (count, NUM_TILES, channels, 2), generator=generator)
        return cells[:, None] + jitter + shift


def cut(images: Tensor, places: Tensor, tile_size: int) -> Tensor:
    """Cut square tiles out: (B, C, S, S) and places (B, M, C, 2) -> (B, M, C, T, T), pixels as they are."""
    places = places.to(images.device)
    inside = torch.arange(tile_size, device=images.device)
    rows = (places[..., 0, None] + inside)[..., :, None]  # (B, M, C, T, 1)
    columns = (places[..., 1, None] + inside)[..., None, :]  # (B, M, C, 1, T)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(-1, 1, 1)
    return images[batch, channel, rows, columns]


def standardized(tiles: Tensor) -> Tensor:
    """Bring each tile of (..., C, T, T) to mean 0 and deviation 1 over its channels and pixels; constant ones to 0."""
    centered = tiles - tiles.mean(dim=(-3, -2, -1), keepdim=True)
    deviation = centered.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    return torch.where(deviation > 1e-5, centered / deviation.clamp_min(1e-5), 0.0)  # rounding is no pattern


def grayed(tiles: Tensor) -> Tensor:
    """Give all channels of (..., C, T, T) their mean.

    A luma would need the deviations of the data's channels, which are divided out before a method sees an image.
    """
    return tiles.mean(dim=-3, keepdim=True).expand_as(tiles)


def projected(tiles: Tensor) -> Tensor:
    """Take the axis from green to magenta out of the colors of (..., 3, T, T); other numbers of channels stay.

    Chromatic aberration lies along that axis and tells a tile's place (arXiv:1505.05192, Sec. 3.1).
    """
    if tiles.shape[-3] != 3:
        return tiles
    axis = F.normalize(_GREEN_MAGENTA.to(tiles), dim=0).view(3, 1, 1)
    return tiles - (tiles * axis).sum(dim=-3, keepdim=True) * axis


def as_batch(tiles: Tensor) -> Tensor:
    """(B, 9, C, T, T) -> (9 * B, C, T, T), channels-last, an image's tiles together."""
    return tiles.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def tile_passes(backbone: nn.Module, tile_size: int, setting: Setting) -> float:
    """Return what nine tiles cost in passes of one whole image, by counted operations.

    Pixels alone would flatter small tiles: feature maps of odd size are rounded up at every stride.
    """
    device = next(backbone.parameters()).device
    tile, image = (
        forward_flops(backbone, torch.zeros(1, setting.channels, side, side, device=device))
        for side in (tile_size, setting.image_size)
    )
    return NUM_TILES * tile / image
