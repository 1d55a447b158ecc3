"""The contract between the loop and the objectives, and the loss that the arms share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy
from fkt.views.loader import Batch

UNKNOWN = -1
"""Label of an image that is not in the label budget."""


class Objective(nn.Module, ABC):
    """The loss that a training run minimizes; a module that contains everything that is trained."""

    needs_statistics = False
    """Whether no step updates the running statistics of batch normalization, so that they are estimated at the end."""
    sizes: Mapping[str, float] = {}
    """Sizes of the SSL method, for the record of the run; empty without one."""

    @property
    @abstractmethod
    def model(self) -> Classifier | ResNet:
        """The model that is saved: a classifier, or a backbone alone if no label was seen."""

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``total`` (a scalar with gradient), its named parts and health signals (detached scalars).

        Parts other than ``total`` may be missing in some steps.
        """

    def before_step(self, step: int, steps: int) -> None:
        """Run before each step. step: number of the step, from 0; steps: number of steps of the run."""

    def check(self, row: Mapping[str, float]) -> None:
        """Run on each row of the learning curve: means of what ``loss`` returned since the last row.

        Raises UserError if the row shows that the run is meaningless.
        """

    def after_step(self, progress: float) -> None:
        """Run after each optimizer step. progress: fraction of the run that is done, in (0, 1]."""


class SupervisedLoss(nn.Module):
    """Cross-entropy with the label smoothing and class weights of every arm."""

    weights: Tensor | None

    def __init__(self, params: CrossEntropy, labels: Tensor, num_classes: int) -> None:
        """labels: (M,) int64, all labels in the label budget. Balanced weights are M / (K * count)."""
        super().__init__()
        weights = None
        if params.class_weights == "balanced":
            counts = torch.bincount(labels, minlength=num_classes).float()
            weights = len(labels) / (num_classes * counts)
        self.register_buffer("weights", weights, persistent=False)
        self.label_smoothing = params.label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, step_labels: Tensor | None = None) -> Tensor:
        """(B, K) logits, (B,) int64 labels, -1 where unknown -> scalar, in float32: a mean over known labels.

        Without a known label it is NaN. step_labels: those of all parts of a batch, of which this is one; the mean over
        the parts, 0 where a part has no known label, is then that over the batch.
        """
        weights, smoothing = self.weights, self.label_smoothing
        loss = F.cross_entropy(logits.float(), labels, weights, ignore_index=UNKNOWN, label_smoothing=smoothing)
        return loss if step_labels is None else loss * self._mean_weight(labels) / self._mean_weight(step_labels)

    def _mean_weight(self, labels: Tensor) -> Tensor:
        known = (labels != UNKNOWN).float()
        return (known if self.weights is None else known * self.weights[labels.clamp(min=0)]).mean()


@torch.no_grad()
def health(features: Tensor) -> dict[str, Tensor]:
    """Return the standard deviation of the normalized features, relative to 1 / sqrt(D).

    About 1 is healthy, 0 is collapse (SimSiam, arXiv:2011.10566, Sec. 4.1).
    """
    normalized = F.normalize(features.detach().float(), dim=1)
    return {"feature_std": normalized.std(dim=0).mean() * features.shape[1] ** 0.5}
