"""What PIRL (arXiv:1912.01991) is, whatever its transformation: an image and its transform agree with one memory."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import PirlParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.losses.similarity import embedding_health
from fkt.ssl.memory_bank import BANK_LOSSES, MemoryBank, draw_negatives
from fkt.views.loader import Views


class Pirl(Method):
    """Backbone, linear image head f, a memory bank, and a transformation with its head g in a subclass.

    L = lambda * NCE(m_i, g(transformed v_i)) + (1 - lambda) * NCE(m_i, f(v_i)), against rows of other images.
    The transformed image is made from the same view; differently augmented ones meet in the bank, whose rows were
    made from earlier views. VISSL crops the two apart, which would take another pass for the second view's features.
    The rows follow f(v_i) after the optimizer's step: a row is never compared with what was just mixed into it.
    """

    num_views = 1

    def __init__(self, backbone: ResNet, params: PirlParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.image_head = nn.Linear(backbone.feature_size, params.embedding_size)
        self.bank = MemoryBank(setting.num_images, params.embedding_size, params.bank_momentum)
        self.contrast = BANK_LOSSES[params.loss]
        self.temperature, self.num_negatives = params.temperature, params.num_negatives
        self.transformed_weight = params.transformed_weight
        self._last: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def transformed(self, views: Views) -> Tensor:
        """Return (B, E) embeddings g of the transformed view, of any scale."""

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; the features are those of the view as it is.

        Logs the mean cosines with an image's own row (``image_similarity``, ``transformed_similarity``) and with
        others (``negative_similarity``), and the share of images whose transform is nearest to its own row among the
        negatives (``transformed_accuracy``; 1 / (1 + K) is chance); beside them see embedding_health (of the images).
        """
        features = self.backbone(views.images[0])  # (B, D)
        image = self.image_head(features)
        negatives = draw_negatives(views.ids, self.num_negatives, len(self.bank.rows), views.generator("negatives"))
        ids = torch.cat([views.ids[:, None], negatives], dim=1)  # (B, 1 + K), an image's own row first
        image_own, image_others = _split(self.bank.similarities(image, ids))
        own, others = _split(self.bank.similarities(self.transformed(views), ids))
        loss = self.transformed_weight * self.contrast(own, others, self.temperature)
        loss = loss + (1 - self.transformed_weight) * self.contrast(image_own, image_others, self.temperature)
        self._last = views.ids, image.detach()
        with torch.no_grad():
            logs = {
                "image_similarity": image_own.detach().mean(),
                "transformed_similarity": own.detach().mean(),
                "negative_similarity": image_others.detach().mean(),
                "transformed_accuracy": (own > others.amax(dim=1)).float().mean(),
            }
        return SSLOutput(loss, features, embedding_health(image) | logs)

    def after_step(self, progress: float) -> None:
        """See Method.after_step: the bank takes in the images' embeddings of the last forward pass."""
        if self._last is not None:
            self.bank.update(*self._last)
            self._last = None


def _split(similarities: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1 + K) -> the positives (B,) and the negatives (B, K)."""
    return similarities[:, 0], similarities[:, 1:]
