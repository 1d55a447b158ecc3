"""Rotation prediction alone (RotNet, arXiv:1803.07728): which multiple of 90 degrees was a view turned by?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import RotationParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.pretext.quarter_turns import NUM_TURNS, quarter_turned, turn_classifier
from fkt.views.loader import Views


class Rotation(Method):
    """Backbone and rotation head on the upright view of each image and R rotated copies of it.

    The turns of the copies are drawn without repetition from 90, 180 and 270 degrees. RotNet's loss is the mean over
    all four turns: the upright view weighs 1/4 in it and the copies share 3/4, so that every R minimizes the same
    expectation. R = 3 is the paper's batch of all four and leaves no draw but their order; R = 1 halves the passes
    of a step.

    The features are the upright view's, since a classifier must not see views rotated (a 6 is no 9). That view
    serves the rotation loss as well, so no pass is made for the features alone. All of a step goes through the
    network as one batch: in batches of their own, upright images would be known by the batch's statistics. So the
    running statistics are those of upright and rotated images, unlike beside another method (``kept_statistics``).
    """

    num_views = 1

    def __init__(self, backbone: ResNet, params: RotationParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.head = turn_classifier(backbone.feature_size, params.hidden)
        self.rotated_copies = params.rotated_copies

    @property
    def online_passes(self) -> int:
        """See Method.online_passes; the upright view and its copies."""
        return 1 + self.rotated_copies

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; the features are those of the upright view.

        Logs ``rotation_accuracy``, weighted as the loss is: 1/4 is chance.
        """
        (view,) = views.images
        count = len(view)
        order = torch.rand(count, NUM_TURNS - 1, generator=views.generator("rotation")).argsort(dim=1)
        turns = order[:, : self.rotated_copies].T + 1  # (R, B)
        copies = [quarter_turned(view, turn) for turn in turns]
        features = self.backbone(torch.cat([view, *copies]))  # ((1 + R) * B, D)
        logits = self.head(features).float()
        targets = torch.cat([torch.zeros(1, count, dtype=torch.int64), turns]).to(view.device)  # (1 + R, B)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)
        hits = (logits.detach().argmax(dim=1) == targets.flatten()).float().view_as(targets)
        return SSLOutput(_mean_over_turns(losses), features[:count], {"rotation_accuracy": _mean_over_turns(hits)})


def _mean_over_turns(values: Tensor) -> Tensor:
    """(1 + R, B), row 0 upright -> scalar, an unbiased estimate of the mean over all four turns."""
    upright, rotated = values[0].mean(), values[1:].mean()
    return (upright + (NUM_TURNS - 1) * rotated) / NUM_TURNS
