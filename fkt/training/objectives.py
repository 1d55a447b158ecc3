"""The arms of the comparison as objectives, side by side: what differs between them is what stands here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy
from fkt.training.balance import Balance
from fkt.training.gradients import compare_gradients
from fkt.training.plan import is_due
from fkt.views.loader import Batch

if TYPE_CHECKING:
    from fkt.ssl.base import Method


class Objective(nn.Module, ABC):
    """What a training run minimizes; it holds everything that is trained."""

    @property
    @abstractmethod
    def model(self) -> Classifier | ResNet:
        """What the run leaves: a classifier, or a backbone alone where no label was seen."""

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``total`` (a scalar with gradient) and its named parts and health signals (detached scalars).

        Some may be there at some steps only.
        """

    def before_step(self, step: int, steps: int) -> None:
        """Called before each step with its number, from 0, and the number of steps of the run."""

    def after_step(self, progress: float) -> None:
        """Called after each optimizer step with the share of the run that is done, in (0, 1]."""


class SupervisedLoss(nn.Module):
    """Cross-entropy with the label smoothing and class weights that every arm shares."""

    weights: Tensor | None

    def __init__(self, params: CrossEntropy, labels: Tensor, num_classes: int) -> None:
        """labels: (M,) int64, all labels in the budget; they set the balanced weights M / (K * count)."""
        super().__init__()
        weights = None
        if params.class_weights == "balanced":
            counts = torch.bincount(labels, minlength=num_classes).float()
            weights = len(labels) / (num_classes * counts)
        self.register_buffer("weights", weights, persistent=False)
        self.label_smoothing = params.label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, K) logits, (B,) int64 labels -> scalar, in float32."""
        return F.cross_entropy(logits.float(), labels, self.weights, label_smoothing=self.label_smoothing)


class Pretrain(Objective):
    """L_SSL alone."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    @property
    def model(self) -> ResNet:
        """See Objective.model."""
        return self.method.backbone

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.views is not None
        output = self.method(batch.views)
        return {"total": output.loss, "ssl": output.loss.detach(), **_health(output.features), **output.logs}

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
        loss = self.cross_entropy(self.classifier.head(features), batch.labels)
        return {"total": loss, "ce": loss.detach(), **_health(features)}


class Representational(Supervised):
    """L_CE alone, from a backbone that Pretrain has trained; all of it goes on training."""

    def __init__(self, classifier: Classifier, cross_entropy: SupervisedLoss, pretrained: nn.Module) -> None:
        super().__init__(classifier, cross_entropy)
        classifier.backbone.load_state_dict(pretrained.state_dict())


class Functional(Objective):
    """L = L_CE + lambda * L_SSL on one backbone in one run (arXiv:2304.01354, Eq. 5), or as its balance weighs them."""

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
        """classify_views: cross-entropy takes the features of the SSL views instead of a batch of its own.

        gradient_checks: how often along the run the losses' gradients on the backbone are compared, for the log.
        """
        super().__init__()
        assert method.backbone is classifier.backbone, "the two losses share one backbone"
        self.classifier = classifier
        self.cross_entropy = cross_entropy
        self.method = method
        self.balance = balance
        self.classify_views = classify_views
        self.gradient_checks = gradient_checks
        self._compare = False  # at the step under way

    @property
    def model(self) -> Classifier:
        """See Objective.model."""
        return self.classifier

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See Objective.loss."""
        assert batch.views is not None
        output = self.method(batch.views)
        if self.classify_views:
            logits = self.classifier.head(output.features)
            labels = batch.labels.repeat(len(output.features) // len(batch.labels))
        else:
            assert batch.images is not None
            logits, labels = self.classifier(batch.images), batch.labels
        ce, ssl = self.cross_entropy(logits, labels), output.loss
        # SimSiam's loss is negative; its weight would be, too, or grow for ever. A constant changes no gradient.
        fused = self.balance(ce, ssl - self.method.infimum if self.balance.by_size else ssl)
        compared = compare_gradients(ce, ssl, list(self.classifier.backbone.parameters())) if self._compare else {}
        parts = {"ce": ce.detach(), "ssl": ssl.detach(), "weight_ce": fused.weight_ce, "weight_ssl": fused.weight_ssl}
        return {"total": fused.total, **parts, **compared, **_health(output.features), **output.logs}

    def before_step(self, step: int, steps: int) -> None:
        """See Objective.before_step."""
        self.balance.before_step(step / steps)
        self._compare = is_due(step + 1, steps, self.gradient_checks)

    def after_step(self, progress: float) -> None:
        """See Objective.after_step."""
        self.balance.after_step()
        self.method.after_step(progress)


@torch.no_grad()
def _health(features: Tensor) -> dict[str, Tensor]:
    """Standard deviation of the normalized features, relative to 1 / sqrt(D): about 1 is healthy, 0 is collapse.

    SimSiam (arXiv:2011.10566, Sec. 4.1) reads collapse from this number.
    """
    normalized = F.normalize(features.detach().float(), dim=1)
    return {"feature_std": normalized.std(dim=0).mean() * features.shape[1] ** 0.5}
