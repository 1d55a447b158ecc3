"""Jigsaw++ (arXiv:1805.00385): name the permutation of nine tiles, some of which belong to another image."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import JigsawPPParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.pretext.permutations import distant_permutations
from fkt.ssl.pretext.puzzles import draw_puzzles
from fkt.ssl.pretext.tiles import NUM_TILES, Tiler, as_batch, grayed, projected, standardized, tile_passes
from fkt.ssl.running_statistics import kept_statistics
from fkt.views.draws import happens
from fkt.views.loader import Views


class JigsawPP(Method):
    """Backbone on each tile, a head on each tile's features, a classifier of permutations on the nine together.

    The head is Linear, BatchNorm, ReLU on every tile and Linear, ReLU, Linear on all; the batch norm stands for the
    dropout of the authors' network, whose masks would not be the step's own. They multiply normalized tiles by 50,
    which a network with batch norm does not notice. Their paper's summaries say 70 % of gray images and their code
    50 %: it is a parameter.

    The backbone also sees the view as a whole. Those features are what a classifier of the views needs, and that
    pass alone sets the backbone's running statistics: set by tiles, they would not fit the images it is used on.
    """

    num_views = 1
    permutations: Tensor

    def __init__(self, backbone: ResNet, params: JigsawPPParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.tiler = Tiler(params.tiles)
        self.params = params
        chosen = distant_permutations(params.num_permutations, NUM_TILES, params.permutation_seed)
        self.register_buffer("permutations", chosen)  # (P, 9)
        self.tile_head = nn.Sequential(
            nn.Linear(backbone.feature_size, params.tile_embedding),
            nn.BatchNorm1d(params.tile_embedding),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(
            nn.Linear(NUM_TILES * params.tile_embedding, params.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(params.hidden, params.num_permutations),
        )
        self._tile_passes = tile_passes(backbone, params.tiles.tile_size, setting)

    @property
    def online_passes(self) -> float:
        """See Method.online_passes; the view, and its nine tiles in passes of a whole image."""
        return 1 + self._tile_passes

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; the features are those of the whole view.

        Logs ``puzzle_accuracy``, ``puzzle_chance`` (1 / P), and ``puzzle_entropy``, that of the mean prediction over
        log P: 1 where all permutations are predicted alike, 0 where it is always the same one.
        """
        (view,) = views.images
        features = self.backbone(view)  # (B, D)
        tiles, labels = self.puzzles(view, views.generator("jigsaw_pp"))
        with kept_statistics(self.backbone):
            embedded = self.tile_head(self.backbone(as_batch(tiles)))  # (9 * B, E)
        logits = self.classifier(embedded.view(len(view), -1)).float()  # (B, P)
        with torch.no_grad():
            mean = logits.softmax(dim=1).mean(dim=0)
            logs = {
                "puzzle_accuracy": (logits.argmax(dim=1) == labels).float().mean(),
                "puzzle_chance": torch.full_like(mean[0], 1 / len(mean)),
                "puzzle_entropy": torch.special.entr(mean).sum() / torch.full_like(mean[0], len(mean)).log(),
            }
        return SSLOutput(F.cross_entropy(logits, labels), features, logs)

    def puzzles(self, view: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> puzzles (B, 9, C, T, T) and labels (B,) int64; generator: on the CPU.

        A puzzle loses its color as a whole, foreign tiles included, so that color does not tell them.
        """
        params, count = self.params, len(view)
        drawn = draw_puzzles(self.permutations, count, params.max_foreign, generator)
        tiles = drawn.lay(self.tiler(view, generator))
        gray = happens(generator, count, params.gray_probability)
        project = happens(generator, count, params.projection_probability) & ~gray
        gray, project = (flag.to(view.device).view(-1, 1, 1, 1, 1) for flag in (gray, project))
        tiles = torch.where(gray, grayed(tiles), torch.where(project, projected(tiles), tiles))
        return standardized(tiles), drawn.labels
