"""Nine tiles of an image: where they are cut, and how features that reveal their place are removed."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from fkt.core import ranks
from fkt.models.backbones import ResNet
from fkt.models.flops import forward_flops
from fkt.params.methods import TilesParams
from fkt.ssl.base import Setting

SIDE = 3
NUM_TILES = SIDE * SIDE
_GREEN_MAGENTA = torch.tensor([-1.0, 2.0, -1.0])


def draw_tiles(images: Tensor, params: TilesParams, generator: Generator) -> Tensor:
    """Cut a tile from a random place in each cell of a 3 x 3 grid; generator: on the CPU.

    images: (B, C, S, S) float, any S. Returns (B, 9, C, T, T), row by row.
    """
    size = (params.puzzle_size, params.puzzle_size)
    if images.shape[2:] != size:
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    places = draw_places(params, ranks.of_all(len(images)), images.shape[1], generator)
    return cut(images, ranks.mine(places), params.tile_size)


def draw_places(params: TilesParams, count: int, channels: int, generator: Generator) -> Tensor:
    """Return (count, 9, channels, 2) int64, the first row and column of each channel of each tile.

    The jitter is uniform for each tile and direction, the channel shift for each channel. The rest of the cell is a
    gap, half of it on each side, so that neighboring tiles share no edge.
    """
    cell = params.puzzle_size // SIDE
    margin = (cell - params.tile_size - params.jitter - params.channel_shift) // 2
    cells = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)) * cell + margin  # (9, 2)
    jitter = torch.randint(params.jitter + 1, (count, NUM_TILES, 1, 2), generator=generator)
    shift = torch.randint(params.channel_shift + 1, (count, NUM_TILES, channels, 2), generator=generator)
    return cells[:, None] + jitter + shift


def cut(images: Tensor, places: Tensor, tile_size: int) -> Tensor:
    """Cut square tiles; (B, C, S, S) and places (B, M, C, 2) -> (B, M, C, T, T)."""
    places = places.to(images.device)
    inside = torch.arange(tile_size, device=images.device)
    rows = (places[..., 0, None] + inside)[..., :, None]  # (B, M, C, T, 1)
    columns = (places[..., 1, None] + inside)[..., None, :]  # (B, M, C, 1, T)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(-1, 1, 1)
    return images[batch, channel, rows, columns]


def standardized(tiles: Tensor) -> Tensor:
    """Scale each tile of (..., C, T, T) to mean 0 and standard deviation 1; constant tiles become 0."""
    centered = tiles - tiles.mean(dim=(-3, -2, -1), keepdim=True)
    deviation = centered.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    return torch.where(deviation > 1e-5, centered / deviation.clamp_min(1e-5), 0.0)  # below is rounding


def grayed(tiles: Tensor) -> Tensor:
    """Replace all channels of (..., C, T, T) by their mean.

    It is not the luma: that would need the standard deviations of the channels, by which images are divided before.
    """
    return tiles.mean(dim=-3, keepdim=True).expand_as(tiles)


def projected(tiles: Tensor) -> Tensor:
    """Remove the axis from green to magenta from the colors of (..., 3, T, T); no effect without three channels.

    Chromatic aberration lies along this axis and reveals the place of a tile (arXiv:1505.05192, Sec. 3.1).
    """
    if tiles.shape[-3] != 3:
        return tiles
    axis = F.normalize(_GREEN_MAGENTA.to(tiles), dim=0).view(3, 1, 1)
    return tiles - (tiles * axis).sum(dim=-3, keepdim=True) * axis


def tile_passes(backbone: ResNet, tile_size: int, setting: Setting) -> float:
    """Return the cost of nine tiles in passes of one whole image, by counted operations.

    The number of pixels would be too low, because feature maps of odd size are rounded up at every stride.
    """
    device = next(backbone.parameters()).device
    tile, image = (
        forward_flops(backbone, torch.zeros(1, setting.channels, side, side, device=device))
        for side in (tile_size, setting.image_size)
    )
    return NUM_TILES * tile / image
