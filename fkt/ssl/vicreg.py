"""VICReg (arXiv:2105.04906): views of an image agree, each dimension keeps its variance, no two say the same."""

from __future__ import annotations

import torch

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import VICRegParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.redundancy import vicreg
from fkt.views.loader import Views


class VICReg(Method):
    """Backbone, three-layer expander with batch normalization, variance, invariance and covariance."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: VICRegParams, setting: Setting) -> None:
        super().__init__(backbone)
        hidden, size = params.projector_hidden, params.projector_size
        self.projector = mlp(backbone.feature_size, hidden, size, layers=3, batch_norm=True, last_norm=False)
        self.weights = (params.invariance_weight, params.variance_weight, params.covariance_weight)

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; both views go through the network as one batch, normalization statistics included.

        Logs: the unweighted terms. ``variance`` is 0.99 at collapse and 0 where every dimension has a standard
        deviation of 1 or more; a large ``covariance`` tells of dimensions that say the same.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        z_a, z_b = self.projector(features).chunk(2)
        terms = vicreg(z_a, z_b)
        invariance, variance, covariance = self.weights
        loss = invariance * terms.invariance + variance * terms.variance + covariance * terms.covariance
        return SSLOutput(loss, features, {name: term.detach() for name, term in terms._asdict().items()})
