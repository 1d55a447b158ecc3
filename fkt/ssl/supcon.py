"""SupCon (arXiv:2004.11362): views of images of one class attract, all others repel; it uses labels."""

from __future__ import annotations

import math

import torch

from fkt.models.backbones import ResNet
from fkt.params.methods_contrastive import SupConParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import same_class_in_batch, sup_con
from fkt.views.loader import Views


class SupCon(Method):
    """Backbone, two-layer projector, supervised contrastive loss.

    It sees the labels that ssl.label_fraction grants and no other: an image without one has its own other view as its
    only positive, and is a negative of all other images. Pretraining by it is therefore supervised in part; without any
    label it is SimCLR.
    """

    num_views = 2

    def __init__(self, backbone: ResNet, params: SupConParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone.feature_size, params.projector_hidden, params.projector_size)
        self.temperature = params.temperature

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; both views go through the network as one batch, normalization statistics included.

        Logs: ``relative_loss``, the loss over that of equal projections, log(2B - 1): 1 is collapse;
        ``positives``, the mean number of positives of an anchor: 1 where no label helps.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        loss = sup_con(z_a, z_b, views.labels, self.temperature)
        known = same_class_in_batch(views.labels)
        logs = {
            "relative_loss": loss.detach() / math.log(max(2, 2 * len(z_a) - 1)),
            "positives": 1 + 2 * known.sum() / len(known),
        }
        return SSLOutput(loss, features, logs)
