"""Barlow Twins (arXiv:2103.03230): each dimension agrees between the views and correlates with no other dimension."""

import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods import BarlowTwinsParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.redundancy import barlow_twins, cross_correlation, off_diagonal
from fkt.views.loader import Views


class BarlowTwins(Method):
    """Backbone, three-layer projector, and a loss that makes the cross-correlation the identity."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: BarlowTwinsParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params, layers=3)
        self.redundancy_weight, self.loss_scale = params.redundancy_weight, params.loss_scale

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Both views form one batch for batch normalization; the loss standardizes each view.

        Logs ``correlation``, the mean of the diagonal: 1 is full agreement, 0 no agreement or constant projections; and
        ``cross_correlation``, the root mean square off the diagonal: 0 if the dimensions are uncorrelated, 1 if equal.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        correlation = cross_correlation(z_a, z_b)
        loss = self.loss_scale * barlow_twins(correlation, self.redundancy_weight)
        return SSLOutput(loss, features, _health(correlation.detach()))


def _health(correlation: Tensor) -> dict[str, Tensor]:
    size = len(correlation)
    redundancy = off_diagonal(correlation).square().sum() / (size * (size - 1))
    return {"correlation": correlation.diagonal().mean(), "cross_correlation": redundancy.sqrt()}
