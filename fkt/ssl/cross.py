"""Cross (our reading): a student agrees with itself across views, and with a teacher that slowly follows it."""

from torch import cat

from fkt.models.backbones import ResNet
from fkt.params.methods import CrossParams
from fkt.ssl.base import Setting, SSLOutput
from fkt.ssl.heads import predictor, projector
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import MomentumMethod
from fkt.views.loader import Views


class Cross(MomentumMethod):
    """Cross-view and cross-model loss of one student and one teacher. This is our reading, not a reproduction.

    TriBYOL (arXiv:2206.03012) compares itself with a method called Cross, probably the same authors' teacher-student
    method for gastric X-ray images (arXiv:2104.02864). We could confirm the student and the teacher, but not the
    formula. We read it as the sum of two terms, with l = 2 - 2 cos, in [0, 8] together:

        cross-view   [l(p_a, sg(z_b)) + l(p_b, sg(z_a))] / 2    student and student, as in SimSiam
        cross-model  [l(p_a, z'_b)    + l(p_b, z'_a)   ] / 2    student and teacher, as in BYOL

    p is the prediction and z the projection of the student; z' is the projection of the teacher, which is the momentum
    target. ``teacher_view: same`` compares p_a with z'_a and p_b with z'_b. Each view is a separate batch for batch
    normalization.
    """

    num_views = 2
    target_passes = 2

    def __init__(self, backbone: ResNet, params: CrossParams, setting: Setting) -> None:
        super().__init__(backbone, projector(backbone, params), params.tau, params.tau_schedule)
        self.predictor = predictor(params)
        self.teacher_view = params.teacher_view

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward.

        Logs embedding_health of the student's projections, both terms, and ``target_cosine``, of the student's and the
        teacher's projections of the first view: near 0 the teacher is too slow.
        """
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        p_a, p_b = self.predictor(z_a), self.predictor(z_b)
        teacher_a, teacher_b = (self.target(view) for view in views.images)
        # With a gradient through both sides the student would collapse, as in SimSiam.
        cross_view = (byol_loss(p_a, z_b.detach()) + byol_loss(p_b, z_a.detach())) / 2
        seen = (teacher_b, teacher_a) if self.teacher_view == "other" else (teacher_a, teacher_b)
        cross_model = (byol_loss(p_a, seen[0]) + byol_loss(p_b, seen[1])) / 2
        logs = {
            "cross_view": cross_view.detach(),
            "cross_model": cross_model.detach(),
            "target_cosine": -negative_cosine(z_a.detach(), teacher_a),
        }
        return SSLOutput(cross_view + cross_model, cat(features), embedding_health(cat([z_a, z_b])) | logs)
