"""VICReg (arXiv:2105.04906): views agree, dimensions keep their variance and do not repeat each other."""

import torch

from fkt.models.backbones import ResNet
from fkt.params.methods import VICRegParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.redundancy import vicreg
from fkt.views.loader import Views


class VICReg(Method):
    """Backbone, three-layer projector (the paper's expander), and the sum of the three weighted terms."""

    num_views = 2

    def __init__(self, backbone: ResNet, params: VICRegParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params, layers=3)
        self.params = params

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Both views form one batch, also for batch normalization.

        Logs the unweighted terms. ``variance`` is 0.99 at collapse, and 0 if every dimension has a standard deviation
        of at least 1. A large ``covariance`` is a sign of redundant dimensions.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        invariance, variance, covariance = vicreg(*self.projector(features).chunk(2))
        loss = self.params.invariance_weight * invariance + self.params.variance_weight * variance
        loss = loss + self.params.covariance_weight * covariance
        logs = {"invariance": invariance, "variance": variance, "covariance": covariance}
        return SSLOutput(loss, features, {name: term.detach() for name, term in logs.items()})
