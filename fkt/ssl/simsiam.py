"""SimSiam (arXiv:2011.10566): the prediction from one view matches the other view's projection, without gradient."""

from torch import Tensor, cat

from fkt.models.backbones import ResNet
from fkt.params.methods import SimSiamParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import predictor, projector
from fkt.ssl.losses.similarity import embedding_health, negative_cosine
from fkt.views.loader import Views


class SimSiam(Method):
    """Backbone, projector with normalized output, and predictor; no target network.

    L = D(q(z_a), sg(z_b)) / 2 + D(q(z_b), sg(z_a)) / 2 with D the negative cosine (Eq. 4), in [-1, 1]. Each view is a
    separate batch for batch normalization, as in the paper's code. The paper keeps the learning rate of the predictor
    constant; here it follows the schedule of the other weights.
    """

    num_views = 2
    lower_bound = -1.0

    def __init__(self, backbone: ResNet, params: SimSiamParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params, layers=params.projector_layers, last_norm=True)
        self.predictor = predictor(params)

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward.

        Logs embedding_health of the projections. Their batch norm keeps ``projection_std`` high for long, so that a
        collapse shows first in ``projection_rank``.
        """
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        p_a, p_b = self.predictor(z_a), self.predictor(z_b)
        loss = (negative_cosine(p_a, self.stopped(z_b)) + negative_cosine(p_b, self.stopped(z_a))) / 2
        return SSLOutput(loss, cat(features), embedding_health(cat([z_a, z_b])))

    def stopped(self, z: Tensor) -> Tensor:
        """Return projections (B, D) without gradient; with it they would collapse (Sec. 4.1)."""
        return z.detach()
