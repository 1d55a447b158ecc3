"""BYOL (arXiv:2006.07733): a prediction from one view is to match a slowly moving target's projection of the other."""

from __future__ import annotations

from torch import cat, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_momentum import BYOLParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import Target, tau_at
from fkt.views.loader import Views


class BYOL(Method):
    """Online backbone, projector and predictor; target backbone and projector.

    L = l(q(z_a), z'_b) + l(q(z_b), z'_a) with l = 2 - 2 cos, in [0, 8]: the paper's sum of both directions (Eq. 2 and
    below); lightly's mean of negative cosines is (L - 4) / 4, with a quarter of the gradient. Each view goes through
    the networks as a batch of its own, normalization statistics included, as in the paper's code.

    Logs: see embedding_health (of the online projections), and ``target_cosine``, the mean cosine of online and
    target projection of the same view: near 1 the target follows, near 0 it was left behind.
    """

    num_views = 2
    target_passes = 2

    def __init__(self, backbone: ResNet, params: BYOLParams, setting: Setting) -> None:
        super().__init__(backbone)
        size = params.projector_size
        self.projector = mlp(
            backbone.feature_size, params.projector_hidden, size, layers=2, batch_norm=True, last_norm=False
        )
        self.predictor = mlp(size, params.predictor_hidden, size, layers=2, batch_norm=True, last_norm=False)
        self.target = Target(self._followed())
        self.tau, self.tau_schedule = params.tau, params.tau_schedule

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward."""
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        target_a, target_b = (self.target(view) for view in views.images)
        loss = byol_loss(self.predictor(z_a), target_b) + byol_loss(self.predictor(z_b), target_a)
        logs = embedding_health(cat([z_a, z_b])) | {"target_cosine": -negative_cosine(z_a.detach(), target_a)}
        return SSLOutput(loss, cat(features), logs)

    def after_step(self, progress: float) -> None:
        """Let the target follow the online network."""
        tau = tau_at(self.tau, self.tau_schedule, progress)
        self.target.follow(self._followed(), tau)

    def _followed(self) -> nn.Sequential:
        """What the target is a copy of: all but the predictor. Never an attribute: its weights have names already."""
        return nn.Sequential(self.backbone, self.projector)
