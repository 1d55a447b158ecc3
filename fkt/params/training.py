"""The sections of the training runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fkt.params.balance import GradNormParams, ScheduleParams
from fkt.params.base import Count, Fraction, NonNegative, Positive, Probability, Section
from fkt.params.sections import Backbone, Width


class CrossEntropy(Section):
    """The supervised loss, the same in every arm."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Share of the target spread evenly over the classes."""
    class_weights: Literal["none", "balanced"]
    """balanced weighs a class by the inverse of its share of the labelled images."""


class Training(Section):
    """One training run."""

    epochs: Positive | None
    """Passes over the images this run learns from; null spends what the budget gives."""
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["sgd", "adamw", "lars"]
    learning_rate: Positive
    """Peak rate; it rises linearly during the warm-up and falls to 0 along a cosine, step by step."""
    momentum: Probability
    """Of sgd and lars; adamw keeps its own betas."""
    trust_coefficient: Positive
    """Of lars: eta, the relative size of a layer's step."""
    weight_decay: NonNegative
    """Applied to weights of two or more dimensions; biases and normalization are left alone."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the rate rises."""


class Joint(Training):
    """The joint run: cross-entropy + lambda * SSL."""

    ce_on: Literal["image", "views"]
    """Which images cross-entropy sees: the labelled image (the paper's figure), or the SSL views.

    Where every label is known, ``views`` classifies the features that SSL has made and saves a third of the passes;
    with a label budget, labelled images of their own are augmented like the views, at no saving.
    """
    balance: Literal["fixed", "schedule", "uncertainty", "gradnorm"]
    """How the losses are weighed against each other, on top of lambda: not at all, by a curve over the run, by learned
    uncertainties (arXiv:1705.07115), or so that their gradients stay in proportion (arXiv:1711.02257)."""
    schedule: ScheduleParams
    gradnorm: GradNormParams
    gradient_checks: Annotated[int, Field(ge=0)]
    """How often along the run the two losses' gradients are compared; 0 is never. One costs about what the step's
    backward pass does, trains nothing, and changes nothing that is trained."""


class Distill(Training):
    """Cluster-based transfer (Jigsaw++, arXiv:1805.00385): a teacher is pretrained as ``pretrain`` says, its features
    of the training images are clustered, and a fresh backbone learns to tell the clusters apart: the training of this
    section. Fine-tuning then goes as ``finetune`` says."""

    teacher: Backbone
    """The teacher's network, deeper than model.backbone where the transfer is to pay."""
    teacher_width: Width
    """Channels of its first stage; stem and initial weights are those of the model section."""
    teacher_share: Fraction
    """Share of the passes before the labels (budget.pretrain_share) that the teacher gets, the student the rest."""
    clusters: Annotated[int, Field(ge=2)]
    """K of k-means, the number of pseudo-classes."""
    n_init: Count
    """Starts of k-means, of which the best is kept."""
    max_iter: Count
    """Iterations of each start, at most."""
