"""PIRL (arXiv:1912.01991): an image and its transformed copy agree with one memory of the image."""

from abc import abstractmethod

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from fkt.core import ranks
from fkt.models.backbones import ResNet
from fkt.params.methods import PirlJigsawParams, PirlParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.losses.contrastive import bank_info_nce, nce
from fkt.ssl.losses.similarity import embedding_health, full_precision
from fkt.ssl.pretext.rotations import NUM_TURNS, rotated
from fkt.ssl.pretext.tiles import NUM_TILES, draw_tiles, tile_passes
from fkt.views.loader import Views


class MemoryBank(nn.Module):
    """(N, E) unit rows, each a moving average of the embeddings of one training image (arXiv:1805.01978).

    Rows start in random directions, as in VISSL's configuration of PIRL. momentum: in [0, 1), the share of the old row
    in the new one.
    """

    rows: Tensor

    def __init__(self, num_images: int, size: int, momentum: float) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(num_images, size), dim=1))
        self.momentum = momentum

    @full_precision
    def similarities(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        """Return the cosines (B, M) of embeddings (B, E), any scale, with the rows ids (B, M).

        Only the embeddings have a gradient. The rows are gathered, instead of the cosines with all rows: the gradient
        of these would be scattered, and on a GPU its sums over repeated rows have no fixed order.
        """
        return torch.einsum("be,bme->bm", F.normalize(embeddings, dim=1), self.rows[ids])

    @torch.no_grad()
    def update(self, ids: Tensor, embeddings: Tensor) -> None:
        """Move the rows of images ids (B,), all different, towards their embeddings (B, E), and normalize them."""
        new = F.normalize(embeddings.float(), dim=1)
        self.rows[ids] = F.normalize(self.momentum * self.rows[ids] + (1 - self.momentum) * new, dim=1)


def draw_negatives(ids: Tensor, count: int, num_images: int, generator: Generator) -> Tensor:
    """Return rows (B, count) for images ids (B,): uniform with replacement, without the image's own row.

    num_images: at least 2; generator: on the CPU.
    """
    drawn = torch.randint(num_images - 1, (len(ids), count), generator=generator).to(ids.device)
    return drawn + (drawn >= ids[:, None])  # skips the image's own row


class Pirl(Method):
    """Backbone, linear image head f, a memory bank m, and a transformation with its head g in a subclass.

    L = lambda * NCE(m_i, g(transformed v_i)) + (1 - lambda) * NCE(m_i, f(v_i)), against rows of other images. The
    transformed image is made from the same view; different augmentations meet in the bank, whose rows come from earlier
    views. VISSL crops the two separately, which would need another pass for the features of the second view. The rows
    follow f(v_i) after the optimizer step, so that no row is compared with an embedding that it already contains.
    """

    num_views = 1

    def __init__(self, backbone: ResNet, params: PirlParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.image_head = nn.Linear(backbone.feature_size, params.embedding_size)
        self.bank = MemoryBank(setting.num_images, params.embedding_size, params.bank_momentum)
        self.contrast = nce if params.loss == "nce" else bank_info_nce
        self.params = params
        self._new: list[tuple[Tensor, Tensor]] = []  # ids and embeddings of this step

    @abstractmethod
    def transformed(self, views: Views) -> Tensor:
        """Return the embeddings g (B, E) of the transformed view, of any scale."""

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. The features are those of the view without transformation.

        Logs embedding_health of the images; the mean cosines with an image's own row (``image_similarity``,
        ``transformed_similarity``) and with other rows (``negative_similarity``); ``transformed_accuracy``, the share
        of transformed images that are nearest to their own row (chance is 1 / (1 + K)).
        """
        params = self.params
        features = self.backbone(views.images[0])  # (B, D)
        image = self.image_head(features)
        negatives = draw_negatives(views.ids, params.num_negatives, len(self.bank.rows), views.generator("negatives"))
        ids = torch.cat([views.ids[:, None], negatives], dim=1)  # (B, 1 + K), the own row first
        untransformed = self.bank.similarities(image, ids)
        transformed = self.bank.similarities(self.transformed(views), ids)
        loss = params.transformed_weight * self.contrast(transformed, params.temperature)
        loss = loss + (1 - params.transformed_weight) * self.contrast(untransformed, params.temperature)
        self._new.append((views.ids, image.detach()))
        with torch.no_grad():
            logs = {
                "image_similarity": untransformed[:, 0].mean(),
                "transformed_similarity": transformed[:, 0].mean(),
                "negative_similarity": untransformed[:, 1:].mean(),
                "transformed_accuracy": (transformed[:, 0] > transformed[:, 1:].amax(dim=1)).float().mean(),
            }
        return SSLOutput(loss, features, embedding_health(image) | logs)

    def after_step(self, progress: float) -> None:
        """Update the bank with the embeddings of the step."""
        for ids, embeddings in self._new:
            self.bank.update(ids, embeddings)
        self._new = []


class PirlRotation(Pirl):
    """PIRL whose transformation rotates each image by 0, 90, 180 or 270 degrees; g is linear."""

    def __init__(self, backbone: ResNet, params: PirlParams, setting: Setting) -> None:
        super().__init__(backbone, params, setting)
        self.rotation_head = nn.Linear(backbone.feature_size, params.embedding_size)
        self.online_passes = 2

    def transformed(self, views: Views) -> Tensor:
        """See Pirl.transformed."""
        turns = torch.randint(NUM_TURNS, views.ids.shape, generator=views.generator("pirl_rotation"))
        embeddings: Tensor = self.rotation_head(self.pretext_features(rotated(views.images[0], ranks.mine(turns))))
        return embeddings


class PirlJigsaw(Pirl):
    """PIRL whose transformation shuffles nine tiles; g is linear on each tile, and linear on their concatenation.

    Tiles are shuffled by any of the 9! permutations. No set of permutations is needed, because the order is not
    predicted.
    """

    def __init__(self, backbone: ResNet, params: PirlJigsawParams, setting: Setting) -> None:
        super().__init__(backbone, params, setting)
        self.tiles = params.tiles
        self.tile_head = nn.Linear(backbone.feature_size, params.embedding_size)
        self.puzzle_head = nn.Linear(NUM_TILES * params.embedding_size, params.embedding_size)
        self.online_passes = 1 + tile_passes(backbone, params.tiles.tile_size, setting)

    def transformed(self, views: Views) -> Tensor:
        """See Pirl.transformed."""
        return self.embedded(self.shuffled(views.images[0], views.generator("pirl_jigsaw")))

    def shuffled(self, view: Tensor, generator: Generator) -> Tensor:
        """Return the tiles (B, 9, C, T, T) of views (B, C, S, S), each image's in a random order."""
        order = torch.rand(ranks.of_all(len(view)), NUM_TILES, generator=generator).argsort(dim=1)
        tiles, order = draw_tiles(view, self.tiles, generator), ranks.mine(order).to(view.device)
        return tiles[torch.arange(len(view), device=view.device)[:, None], order]

    def embedded(self, tiles: Tensor) -> Tensor:
        """Return the embeddings (B, E) of shuffled tiles (B, 9, C, T, T); they depend on the order."""
        each = self.tile_head(self.pretext_features(tiles.transpose(0, 1).flatten(0, 1)))  # (9 * B, E)
        together: Tensor = self.puzzle_head(each.unflatten(0, (NUM_TILES, -1)).transpose(0, 1).flatten(1))
        return together
