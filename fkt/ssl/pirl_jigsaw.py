"""PIRL with jigsaw puzzles (arXiv:1912.01991): nine shuffled tiles of an image are the same image."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import PirlJigsawParams
from fkt.ssl.base import Setting
from fkt.ssl.pirl import Pirl
from fkt.ssl.pretext.tiles import NUM_TILES, Tiler, as_batch, tile_passes
from fkt.ssl.running_statistics import kept_statistics
from fkt.views.loader import Views


class PirlJigsaw(Pirl):
    """The transformation shuffles nine tiles; g is linear on each tile, then linear on the nine side by side.

    Tiles are shuffled before they are put side by side, by any of the 9! permutations: the order is not predicted
    but ignored, so that no few of them need be chosen.
    """

    def __init__(self, backbone: ResNet, params: PirlJigsawParams, setting: Setting) -> None:
        super().__init__(backbone, params, setting)
        self.tiler = Tiler(params.tiles)
        self.tile_head = nn.Linear(backbone.feature_size, params.embedding_size)
        self.puzzle_head = nn.Linear(NUM_TILES * params.embedding_size, params.embedding_size)
        self._tile_passes = tile_passes(backbone, params.tiles.tile_size, setting)

    @property
    def online_passes(self) -> float:
        """See Method.online_passes; the view, and its nine tiles in passes of a whole image."""
        return 1 + self._tile_passes

    def transformed(self, views: Views) -> Tensor:
        """See Pirl.transformed."""
        return self.embedded(self.shuffled(views.images[0], views.generator("pirl_jigsaw")))

    def shuffled(self, view: Tensor, generator: Generator) -> Tensor:
        """(B, C, S, S) -> (B, 9, C, T, T) tiles in an order of each image's own; generator: on the CPU."""
        order = torch.rand(len(view), NUM_TILES, generator=generator).argsort(dim=1).to(view.device)
        tiles = self.tiler(view, generator)
        return tiles[torch.arange(len(view), device=view.device)[:, None], order]

    def embedded(self, tiles: Tensor) -> Tensor:
        """(B, 9, C, T, T) -> (B, E), which depends on the tiles' order."""
        with kept_statistics(self.backbone):
            each = self.tile_head(self.backbone(as_batch(tiles)))  # (9 * B, E)
        together = self.puzzle_head(each.view(len(tiles), -1))
        assert isinstance(together, Tensor)
        return together
