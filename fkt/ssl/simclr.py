"""SimCLR (arXiv:2002.05709): two views of an image attract, views of different images repel."""

import torch

from fkt.models.backbones import ResNet
from fkt.params.methods import SimCLRParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import nt_xent, same_class_in_batch
from fkt.views.loader import Views


class SimCLR(Method):
    """Backbone, two-layer projector without batch norm, and NT-Xent, with or without known false negatives."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: SimCLRParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params, batch_norm=False)
        self.temperature, self.eliminates = params.temperature, params.false_negatives == "eliminate"

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Both views form one batch, also for batch normalization.

        Logs ``eliminated`` if false negatives are eliminated: their share of an anchor's negatives.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        if not self.eliminates:
            return SSLOutput(nt_xent(z_a, z_b, self.temperature), features)
        same = same_class_in_batch(views.labels)
        loss = nt_xent(z_a, z_b, self.temperature, false_negatives=same)
        return SSLOutput(loss, features, {"eliminated": same.sum() / (len(same) * max(1, len(same) - 1))})
