"""Barlow Twins (arXiv:2103.03230): dimensions agree between the views of an image and correlate with no other."""

from __future__ import annotations

import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import BarlowTwinsParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.redundancy import barlow_twins, cross_correlation
from fkt.views.loader import Views


class BarlowTwins(Method):
    """Backbone, three-layer projector with batch normalization, cross-correlation towards the identity."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: BarlowTwinsParams, setting: Setting) -> None:
        super().__init__(backbone)
        hidden, size = params.projector_hidden, params.projector_size
        self.projector = mlp(backbone.feature_size, hidden, size, layers=3, batch_norm=True, last_norm=False)
        self.redundancy_weight = params.redundancy_weight
        self.loss_scale = params.loss_scale

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; both views go through the network as one batch, normalization statistics included.

        The loss standardizes each view by itself. Logs: ``correlation``, the mean of the diagonal: 1 is full agreement,
        0 none, or constant projections; ``cross_correlation``, the root mean square beside it: 0 is no redundancy,
        1 is dimensions that all say the same.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        correlation = cross_correlation(z_a, z_b)
        loss = self.loss_scale * barlow_twins(correlation, self.redundancy_weight)
        return SSLOutput(loss, features, _health(correlation))


@torch.no_grad()
def _health(correlation: Tensor) -> dict[str, Tensor]:
    size, diagonal = len(correlation), correlation.diagonal()
    beside = (correlation - diagonal.diag()).square().sum() / (size * (size - 1))
    return {"correlation": diagonal.mean(), "cross_correlation": beside.sqrt()}
