"""BYOL (arXiv:2006.07733): the prediction from one view matches a slow target's projection of the other view."""

from torch import cat

from fkt.models.backbones import ResNet
from fkt.params.methods import BYOLParams
from fkt.ssl.base import Setting, SSLOutput
from fkt.ssl.heads import predictor, projector
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import MomentumMethod
from fkt.views.loader import Views


class BYOL(MomentumMethod):
    """Online backbone, projector and predictor; target backbone and projector.

    L = l(q(z_a), z'_b) + l(q(z_b), z'_a) with l = 2 - 2 cos, in [0, 8]: the paper's sum of both directions (Eq. 2 and
    below). lightly's mean of negative cosines is (L - 4) / 4, with a quarter of the gradient. Each view is a separate
    batch for batch normalization, as in the paper's code.
    """

    num_views = 2
    target_passes = 2

    def __init__(self, backbone: ResNet, params: BYOLParams, setting: Setting) -> None:
        super().__init__(backbone, projector(backbone, params), params.tau, params.tau_schedule)
        self.predictor = predictor(params)

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward.

        Logs embedding_health of the online projections, and ``target_cosine``, the mean cosine of online and target
        projections of the same view: near 1 the target follows, near 0 it is too slow.
        """
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        target_a, target_b = (self.target(view) for view in views.images)
        loss = byol_loss(self.predictor(z_a), target_b) + byol_loss(self.predictor(z_b), target_a)
        logs = embedding_health(cat([z_a, z_b])) | {"target_cosine": -negative_cosine(z_a.detach(), target_a)}
        return SSLOutput(loss, cat(features), logs)
