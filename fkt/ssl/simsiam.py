"""SimSiam (arXiv:2011.10566): a prediction from one view is to match the other's projection, whose gradient stops."""

from __future__ import annotations

from torch import Tensor, cat

from fkt.models.backbones import ResNet
from fkt.params.methods_momentum import SimSiamParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import embedding_health, negative_cosine
from fkt.views.loader import Views


class SimSiam(Method):
    """Backbone, projector with normalized output, bottleneck predictor; no target network.

    L = D(q(z_a), sg(z_b)) / 2 + D(q(z_b), sg(z_a)) / 2 with D the negative cosine (Eq. 4), in [-1, 1]. Each view goes
    through the networks as a batch of its own, normalization statistics included, as in the paper's code. What is not
    of the loss is the optimizer's: the paper keeps the predictor's learning rate constant, here it follows the
    schedule of all others.

    Logs: see embedding_health (of the projections). The normalized output holds ``projection_std`` up for long; a
    collapse shows first in ``projection_rank``.
    """

    num_views = 2
    infimum = -1.0

    def __init__(self, backbone: ResNet, params: SimSiamParams, setting: Setting) -> None:
        super().__init__(backbone)
        size = params.projector_size
        self.projector = mlp(
            backbone.feature_size,
            params.projector_hidden,
            size,
            layers=params.projector_layers,
            batch_norm=True,
            last_norm=True,
        )
        self.predictor = mlp(size, params.predictor_hidden, size, layers=2, batch_norm=True, last_norm=False)

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward."""
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        p_a, p_b = self.predictor(z_a), self.predictor(z_b)
        loss = (negative_cosine(p_a, self.stopped(z_b)) + negative_cosine(p_b, self.stopped(z_a))) / 2
        return SSLOutput(loss, cat(features), embedding_health(cat([z_a, z_b])))

    def stopped(self, z: Tensor) -> Tensor:
        """Return a projection (B, D) as a constant; without this the projections collapse (Sec. 4.1)."""
        return z.detach()
