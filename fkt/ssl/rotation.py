"""Rotation prediction: a method (RotNet, arXiv:1803.07728), and an auxiliary task of other methods (EffSSL)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.core import ranks
from fkt.models.backbones import ResNet
from fkt.params.methods import RotationParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.pretext.rotations import NUM_TURNS, rotated, rotation_head
from fkt.views.loader import Views


class Rotation(Method):
    """Backbone and rotation head on the upright view of each image and R rotated copies of it.

    The angles of the copies are drawn without repetition from 90, 180 and 270 degrees. RotNet's loss is the mean over
    all four angles. Here the upright view has weight 1/4 and the copies share 3/4, so that every R has the same
    expected loss. R = 3 is the paper's batch of all four angles; R = 1 halves the passes of a step.

    The features are those of the upright view, because a classifier must not see rotated views (a 6 is not a 9). All
    images of a step form one batch, because the statistics of separate batches would reveal the upright images. So the
    running statistics are those of upright and rotated images, unlike in WithRotation.
    """

    num_views = 1

    def __init__(self, backbone: ResNet, params: RotationParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.head = rotation_head(backbone.feature_size, params.hidden)
        self.rotated_copies = params.rotated_copies
        self.online_passes = 1 + params.rotated_copies

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Logs ``rotation_accuracy`` with the weights of the loss; chance is 1/4."""
        (view,) = views.images
        count = len(views.ids)
        order = torch.rand(count, NUM_TURNS - 1, generator=views.generator("rotation")).argsort(dim=1)
        turns = order[:, : self.rotated_copies].T + 1  # (R, B)
        copies = [rotated(view, ranks.mine(turn)) for turn in turns]
        features = self.backbone(torch.cat([view, *copies]))  # ((1 + R) * B, D)
        logits = self.head(features).float()
        targets = torch.cat([torch.zeros(1, count, dtype=torch.int64), turns]).to(view.device)  # (1 + R, B)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)
        hits = (logits.detach().argmax(dim=1) == targets.flatten()).float().view_as(targets)
        return SSLOutput(_mean_over_turns(losses), features[:count], {"rotation_accuracy": _mean_over_turns(hits)})


def _mean_over_turns(values: Tensor) -> Tensor:
    """Return an unbiased estimate of the mean over all four angles; values: (1 + R, B), row 0 upright."""
    upright, others = values[0].mean(), values[1:].mean()
    return (upright + (NUM_TURNS - 1) * others) / NUM_TURNS


class WithRotation(Method):
    """A method with rotation prediction as an auxiliary task (EffSSL, arXiv:2210.09866).

    L = L_base + weight * the mean cross-entropy over all V * B rotated views. Each view is rotated after its
    augmentation, by its own random multiple of 90 degrees. The base method sees upright views only. The mean is the
    paper's 1 / (2B), so ``weight`` is its lambda. The release adds the means of two views, so its rot_wt of 0.1 is
    ``weight`` 0.2. We could not confirm its lambda of each method on CIFAR.

    The rotated views form a separate batch (in the release one per view), which does not update the running statistics:
    with weight 0 the gradient and the network are those of the base method, bit for bit.
    """

    def __init__(self, method: Method, weight: float, hidden: int) -> None:
        """Wrap a base method; weight: at least 0; hidden: width of the rotation head."""
        self.num_views, self.lower_bound, self.whole_views = method.num_views, method.lower_bound, method.whole_views
        super().__init__(method.backbone)
        self.method, self.weight = method, weight
        self.head = rotation_head(self.backbone.feature_size, hidden)
        self.online_passes, self.target_passes = method.online_passes + method.num_views, method.target_passes

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. The features are those of the base method. Needs V * B >= 2.

        Logs those of the base method, ``base_loss``, ``rotation_loss`` (chance is log 4) and ``rotation_accuracy``
        (chance is 1/4).
        """
        base = self.method(views)
        upright = torch.cat(views.images)  # (V * B, C, S, S)
        count = ranks.of_all(len(upright))
        turns = torch.randint(NUM_TURNS, (count,), generator=views.generator("with_rotation")).to(upright.device)
        logits = self.head(self.pretext_features(rotated(upright, ranks.mine(turns)))).float()  # (V * B, 4)
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
