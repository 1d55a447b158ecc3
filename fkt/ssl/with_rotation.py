"""Rotation prediction as an auxiliary task of any method (EffSSL, arXiv:2210.09866)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from fkt.ssl.base import Method, SSLOutput
from fkt.ssl.pretext.quarter_turns import draw_turns, quarter_turned, turn_classifier
from fkt.ssl.running_statistics import kept_statistics
from fkt.views.loader import Views


class WithRotation(Method):
    """A method whose online backbone also tells by how much each of its views was turned.

    L = L_base + weight * mean over all V * B rotated views of CE. Each view is turned after its augmentation by its
    own random multiple of 90 degrees; the base method sees the views as they are, and nothing but the online
    backbone sees them turned. The paper's 1 / (2B) is this mean, so its lambda is ``weight``. The release adds two
    means, one a view, and weighs them by rot_wt: 0.1 * (CE_1 + CE_2) = 0.2 * mean, so its rot_wt of 0.1 is
    ``weight`` 0.2. The per-method lambda of its CIFAR runs is unconfirmed.

    The release normalizes each rotated view as a batch of its own; here they are one batch, apart from the base
    method's. They leave the running statistics alone: with weight 0 the base method's gradient and its network are
    what they are without the task, bit for bit, though the passes are still made and still logged.
    """

    def __init__(self, method: Method, weight: float, hidden: int) -> None:
        """Take the base method, with its backbone; weight: at least 0; hidden: width of the rotation head.

        Raises ValueError for a negative weight.
        """
        if weight < 0:
            raise ValueError(f"the rotation task's weight must be at least 0, not {weight}")
        super().__init__(method.backbone)
        self.method = method
        self.head = turn_classifier(self.backbone.feature_size, hidden)
        self.weight = weight
        self.num_views, self.infimum = method.num_views, method.infimum
        self.target_passes = method.target_passes

    @property
    def online_passes(self) -> float:
        """See Method.online_passes; those of the base method, and one for each rotated view."""
        return self.method.online_passes + self.num_views

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; the features are the base method's. Needs V * B >= 2.

        Logs beside what the base method does: ``base_loss``, ``rotation_loss`` (log 4 is chance) and
        ``rotation_accuracy`` (1/4 is chance).
        """
        base = self.method(views)
        upright = torch.cat(views.images)  # (V * B, C, S, S)
        turns = draw_turns(len(upright), views.generator("with_rotation")).to(upright.device)
        with kept_statistics(self.backbone):
            logits = self.head(self.backbone(quarter_turned(upright, turns))).float()  # (V * B, 4)
        rotation = F.cross_entropy(logits, turns)
        logs = {
            **base.logs,
            "base_loss": base.loss.detach(),
            "rotation_loss": rotation.detach(),
            "rotation_accuracy": (logits.detach().argmax(dim=1) == turns).float().mean(),
        }
        return SSLOutput(base.loss + self.weight * rotation, base.features, logs)

    def after_step(self, progress: float) -> None:
        """See Method.after_step."""
        self.method.after_step(progress)
