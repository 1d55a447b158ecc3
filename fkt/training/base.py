"""What the loop asks of an objective, and what the objectives share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy
from fkt.views.loader import Batch


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

    def check(self, row: Mapping[str, float]) -> None:
        """Called with each row of the learning curve, which has the means of what ``loss`` returned since the last one.

        Raises UserError where it shows that the run cannot mean anything.
        """

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


@torch.no_grad()
def health(features: Tensor) -> dict[str, Tensor]:
    """Standard deviation of the normalized features, relative to 1 / sqrt(D): about 1 is healthy, 0 is collapse.

    SimSiam (arXiv:2011.10566, Sec. 4.1) reads collapse from this number.
    """
    normalized = F.normalize(features.detach().float(), dim=1)
    return {"feature_std": normalized.std(dim=0).mean() * features.shape[1] ** 0.5}
