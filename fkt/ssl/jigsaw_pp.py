"""Jigsaw++ (arXiv:1805.00385): predict the permutation of nine tiles, some of which come from another image."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from fkt.core import ranks
from fkt.models.backbones import ResNet
from fkt.params.methods import JigsawPPParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.pretext.puzzles import distant_permutations, draw_puzzles
from fkt.ssl.pretext.tiles import NUM_TILES, draw_tiles, grayed, projected, standardized, tile_passes
from fkt.views.draws import happens
from fkt.views.loader import Views


class JigsawPP(Method):
    """Backbone and tile head on each tile, and a classifier of permutations on the nine tiles together.

    The tile head has a batch norm instead of the dropout of the authors' network, because dropout masks would not
    depend on the step only. The authors multiply normalized tiles by 50, which has no effect on a network with batch
    norm. Summaries of the paper have 70 % of gray images and the authors' code 50 %, so it is a parameter.

    The backbone sees tiles only. They are normalized by their own statistics and do not update the running ones, which
    would not fit whole images.
    """

    num_views = 1
    whole_views = False
    permutations: Tensor

    def __init__(self, backbone: ResNet, params: JigsawPPParams, setting: Setting) -> None:
        super().__init__(backbone)
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
        self.online_passes = tile_passes(backbone, params.tiles.tile_size, setting)

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. The features are those of the tiles, (9 * B, D).

        Logs ``puzzle_accuracy``, ``puzzle_chance`` (1 / P), and ``puzzle_entropy``, the entropy of the mean prediction
        divided by log P: 1 if all permutations are predicted equally often, 0 if only one is predicted.
        """
        (view,) = views.images
        tiles, labels = self.puzzles(view, views.generator("jigsaw_pp"))
        features = self.pretext_features(tiles.transpose(0, 1).flatten(0, 1))  # (9 * B, D), place after place
        embedded = self.tile_head(features).unflatten(0, (NUM_TILES, -1))  # (9, B, E)
        logits = self.classifier(embedded.transpose(0, 1).flatten(1)).float()  # (B, P)
        with torch.no_grad():
            mean = logits.softmax(dim=1).mean(dim=0)
            logs = {
                "puzzle_accuracy": (logits.argmax(dim=1) == labels).float().mean(),
                "puzzle_chance": torch.full_like(mean[0], 1 / len(mean)),
                "puzzle_entropy": torch.special.entr(mean).sum() / torch.full_like(mean[0], len(mean)).log(),
            }
        return SSLOutput(F.cross_entropy(logits, labels), features, logs)

    def puzzles(self, view: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return puzzles (B, 9, C, T, T) and labels (B,) of views (B, C, S, S); generator: on the CPU.

        A puzzle loses its colors as a whole, so that they do not reveal the foreign tiles.
        """
        params, count = self.params, ranks.of_all(len(view))
        labels, images, chosen = draw_puzzles(self.permutations, count, params.max_foreign, generator)
        tiles = ranks.whole(draw_tiles(view, params.tiles, generator))[ranks.mine(images), ranks.mine(chosen)]
        gray = happens(generator, count, params.gray_probability)
        project = happens(generator, count, params.projection_probability)
        gray, project = (ranks.mine(flag).to(view.device).view(-1, 1, 1, 1, 1) for flag in (gray, project))
        tiles = torch.where(gray, grayed(tiles), torch.where(project, projected(tiles), tiles))
        return standardized(tiles), labels
