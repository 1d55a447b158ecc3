"""SimCLR (arXiv:2002.05709): two views of an image attract, views of different images repel."""

from __future__ import annotations

import torch

from fkt.models.backbones import ResNet
from fkt.params import SimCLRParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import nt_xent, nt_xent_without_false_negatives, same_class_in_batch
from fkt.views.loader import Views


class SimCLR(Method):
    """Backbone, two-layer projector, NT-Xent; on request without the negatives that labels show to be false."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: SimCLRParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone.feature_size, params.projector_hidden, params.projector_size)
        self.temperature, self.false_negatives = params.temperature, params.false_negatives

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; both views go through the network as one batch, normalization statistics included.

        Logs where false negatives are eliminated: ``eliminated``, the share of an anchor's negatives that are.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        if self.false_negatives == "keep":
            return SSLOutput(nt_xent(z_a, z_b, self.temperature), features)
        loss = nt_xent_without_false_negatives(z_a, z_b, views.labels, self.temperature)
        pairs = len(z_a) * max(1, len(z_a) - 1)
        return SSLOutput(loss, features, {"eliminated": same_class_in_batch(views.labels).sum() / pairs})
