"""SupCon (arXiv:2004.11362): views of images of one class attract, all others repel. It uses labels."""

import math

import torch

from fkt.models.backbones import ResNet
from fkt.params.methods import SupConParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import same_class_in_batch, sup_con
from fkt.views.loader import Views


class SupCon(Method):
    """Backbone, two-layer projector without batch norm, and the supervised contrastive loss.

    It sees the labels that ssl.label_fraction grants, so its pretraining is partly supervised. An image without a label
    has its own other view as its only positive. Without any label SupCon is SimCLR.
    """

    num_views = 2

    def __init__(self, backbone: ResNet, params: SupConParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params, batch_norm=False)
        self.temperature = params.temperature

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Both views form one batch, also for batch normalization.

        Logs ``relative_loss``, the loss divided by log(2B - 1), its value for equal projections: 1 is collapse; and
        ``positives``, the mean number of positives of an anchor: 1 if no label helps.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        same = same_class_in_batch(views.labels)
        loss = sup_con(z_a, z_b, same, self.temperature)
        logs = {
            "relative_loss": loss.detach() / math.log(max(2, 2 * len(z_a) - 1)),
            "positives": 1 + 2 * same.sum() / len(same),
        }
        return SSLOutput(loss, features, logs)
