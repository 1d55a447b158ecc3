"""Cross (our reading): a student is to agree with itself across views, and with its slowly moving teacher."""

from __future__ import annotations

from torch import cat, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_momentum import CrossParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import Target, tau_at
from fkt.views.loader import Views


class Cross(Method):
    """Cross-view and cross-model loss of one student and one teacher; our reading, not a reproduction.

    TriBYOL (arXiv:2206.03012) compares itself with a method that it calls Cross: by all signs the same authors'
    teacher-student method for gastric X-ray images (arXiv:2104.02864). We could confirm that it has a student and a
    teacher, but not its formula. We read it as two terms of equal weight, with l = 2 - 2 cos, in [0, 8] together:

        cross-view   [l(p_a, sg(z_b)) + l(p_b, sg(z_a))] / 2    student and student, which is SimSiam's
        cross-model  [l(p_a, z'_b)    + l(p_b, z'_a)   ] / 2    student and teacher, which is BYOL's

    p is the predictor's output and z the projection of the student, z' the projection of the teacher, a moving
    average of the student without predictor. ``teacher_view: same`` compares p_a with z'_a and p_b with z'_b instead.
    Each view goes through the networks as a batch of its own, normalization statistics included.

    Logs: see embedding_health (of the student's projections); ``cross_view`` and ``cross_model``, the two terms;
    ``target_cosine``, of student's and teacher's projection of the first view: near 0 the teacher was left behind.
    """

    num_views = 2
    target_passes = 2

    def __init__(self, backbone: ResNet, params: CrossParams, setting: Setting) -> None:
        super().__init__(backbone)
        size = params.projector_size
        self.projector = mlp(
            backbone.feature_size, params.projector_hidden, size, layers=2, batch_norm=True, last_norm=False
        )
        self.predictor = mlp(size, params.predictor_hidden, size, layers=2, batch_norm=True, last_norm=False)
        self.teacher = Target(self._followed())
        self.teacher_view = params.teacher_view
        self.tau, self.tau_schedule = params.tau, params.tau_schedule

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward."""
        features = [self.backbone(view) for view in views.images]
        z_a, z_b = (self.projector(view) for view in features)
        p_a, p_b = self.predictor(z_a), self.predictor(z_b)
        teacher_a, teacher_b = (self.teacher(view) for view in views.images)
        # The gradient stops at what is predicted; through both sides the student would collapse, as in SimSiam.
        cross_view = (byol_loss(p_a, z_b.detach()) + byol_loss(p_b, z_a.detach())) / 2
        seen = (teacher_b, teacher_a) if self.teacher_view == "other" else (teacher_a, teacher_b)
        cross_model = (byol_loss(p_a, seen[0]) + byol_loss(p_b, seen[1])) / 2
        logs = {
            "cross_view": cross_view.detach(),
            "cross_model": cross_model.detach(),
            "target_cosine": -negative_cosine(z_a.detach(), teacher_a),
        }
        return SSLOutput(cross_view + cross_model, cat(features), embedding_health(cat([z_a, z_b])) | logs)

    def after_step(self, progress: float) -> None:
        """Let the teacher follow the student."""
        tau = tau_at(self.tau, self.tau_schedule, progress)
        self.teacher.follow(self._followed(), tau)

    def _followed(self) -> nn.Sequential:
        """What the teacher is a copy of: all but the predictor. Never an attribute: its weights have names already."""
        return nn.Sequential(self.backbone, self.projector)
