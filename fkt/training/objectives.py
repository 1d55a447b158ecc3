"""The arms of the comparison as objectives: this file has all the differences between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core.errors import UserError
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier
from fkt.training.balance import Balance
from fkt.training.base import Objective, SupervisedLoss, health
from fkt.training.budget import is_due
from fkt.training.gradients import compare_gradients
from fkt.views.loader import Batch

if TYPE_CHECKING:
    from fkt.ssl.base import Method

ROUNDING = 1e-3
"""Relative tolerance for the lower bound of a loss."""


class Pretrain(Objective):
    """L_SSL alone."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        self.needs_statistics, self.sizes = not method.whole_views, method.sizes

    @property
    def model(self) -> ResNet:
        """See Objective.model."""
        return self.method.backbone

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.views is not None
        output = self.method(batch.views)
        return {"total": output.loss, "ssl": output.loss.detach(), **health(output.features), **output.logs}

    def after_step(self, progress: float) -> None:
        """See Objective.after_step."""
        self.method.after_step(progress)


class Supervised(Objective):
    """L_CE alone, from fresh weights."""

    def __init__(self, classifier: Classifier, cross_entropy: SupervisedLoss) -> None:
        super().__init__()
        self.classifier = classifier
        self.cross_entropy = cross_entropy

    @property
    def model(self) -> Classifier:
        """See Objective.model."""
        return self.classifier

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.images is not None
        features = self.classifier.backbone(batch.images)
        loss = self.cross_entropy(self.classifier.head(features), batch.labels, batch.step_labels)
        return {"total": loss, "ce": loss.detach(), **health(features)}


class Representational(Supervised):
    """L_CE alone, from a backbone that Pretrain or Distill has trained; all of its weights are trained."""

    def __init__(self, classifier: Classifier, cross_entropy: SupervisedLoss, pretrained: nn.Module) -> None:
        super().__init__(classifier, cross_entropy)
        classifier.backbone.load_state_dict(pretrained.state_dict())


class Frozen(Representational):
    """L_CE alone, for a linear layer on a backbone that Pretrain has trained and that does not change."""

    def __init__(self, classifier: Classifier, cross_entropy: SupervisedLoss, pretrained: nn.Module) -> None:
        super().__init__(classifier, cross_entropy, pretrained)
        classifier.backbone.requires_grad_(False)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.images is not None and batch.labels is not None
        # In every step, because the loop and the validation put all modules into training mode: BatchNorm would then
        # normalize by the batch, and change its running statistics.
        self.classifier.backbone.eval()
        with torch.no_grad():
            features = self.classifier.backbone(batch.images)
        loss = self.cross_entropy(self.classifier.head(features), batch.labels, batch.step_labels)
        return {"total": loss, "ce": loss.detach(), **health(features)}


class Distill(Objective):
    """Cross-entropy on the clusters of a teacher's features (Jigsaw++, arXiv:1805.00385, Sec. 4).

    The student learns only the cluster of each image, no feature and no logit, so that the teacher may be any network.
    """

    clusters: Tensor

    def __init__(self, classifier: Classifier, clusters: Tensor) -> None:
        """classifier: one class for each cluster. clusters: (N,) int64, the cluster of each training image."""
        super().__init__()
        self.classifier = classifier
        self.register_buffer("clusters", clusters, persistent=False)

    @property
    def model(self) -> ResNet:
        """See Objective.model."""
        return self.classifier.backbone

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.views is not None
        (images,) = batch.views.images
        features = self.classifier.backbone(images)
        logits = self.classifier.head(features)
        loss = F.cross_entropy(logits.float(), self.clusters[batch.views.ids])
        return {"total": loss, "pseudo": loss.detach(), **health(features)}


class Functional(Objective):
    """L = L_CE + lambda * L_SSL on one backbone in one run (arXiv:2304.01354, Eq. 5), or weighted by a balance."""

    def __init__(
        self,
        classifier: Classifier,
        cross_entropy: SupervisedLoss,
        method: Method,
        balance: Balance,
        *,
        classify_views: bool,
        gradient_checks: int = 0,
    ) -> None:
        """classify_views: cross-entropy uses the SSL views, and their features if the method has them, instead of a
        separate batch.

        gradient_checks: how often along the run the gradients of the losses on the backbone are compared, for the log.
        """
        super().__init__()
        assert method.backbone is classifier.backbone, "the two losses share one backbone"
        self.classifier = classifier
        self.cross_entropy = cross_entropy
        self.method = method
        self.balance = balance
        self.classify_views = classify_views
        self.gradient_checks = gradient_checks
        self.sizes = method.sizes
        self._compare = False  # in the current step

    @property
    def model(self) -> Classifier:
        """See Objective.model."""
        return self.classifier

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.views is not None
        output = self.method(batch.views)
        if self.classify_views:
            whole = self.method.whole_views
            features = output.features if whole else self.classifier.backbone(torch.cat(batch.views.images))
            logits = self.classifier.head(features)
            labels = batch.labels.repeat(len(features) // len(batch.labels))
        else:
            assert batch.images is not None
            logits, labels = self.classifier(batch.images), batch.labels
        ssl = output.loss
        # Without a label in the batch, cross-entropy and its gradient are 0. The images still go through the network,
        # so that BatchNorm sees them in every step, and every step costs the same.
        ce = self.cross_entropy(logits, labels, batch.step_labels) if batch.has_labels else 0.0 * logits.float().sum()
        # SimSiam's loss is negative, which these balances cannot handle. A constant does not change the gradient.
        fused = self.balance(ce, ssl - self.method.lower_bound if self.balance.by_size else ssl)
        compared = compare_gradients(ce, ssl, list(self.classifier.backbone.parameters())) if self._compare else {}
        parts = {"ce": ce.detach()} if batch.has_labels else {}
        parts |= {"ssl": ssl.detach(), "weight_ce": fused.weight_ce, "weight_ssl": fused.weight_ssl}
        return {"total": fused.total, **parts, **compared, **health(output.features), **output.logs}

    def before_step(self, step: int, steps: int) -> None:
        """See Objective.before_step."""
        self.balance.before_step(step / steps)
        self._compare = is_due(step + 1, steps, self.gradient_checks)

    def check(self, row: Mapping[str, float]) -> None:
        """See Objective.check. A balance that depends on the size of losses fails silently with a wrong lower bound."""
        ssl, lower_bound = row["ssl"], self.method.lower_bound
        if self.balance.by_size and ssl < lower_bound - ROUNDING * max(1.0, abs(lower_bound)):
            raise UserError(
                f"the self-supervised loss fell to {ssl:.4g}, below the lower bound of its method, {lower_bound:.4g}; "
                "joint.balance needs the right bound: set self.lower_bound in the method's __init__, or set "
                "joint.balance: fixed"
            )

    def after_step(self, progress: float) -> None:
        """See Objective.after_step."""
        self.balance.after_step()
        self.method.after_step(progress)
