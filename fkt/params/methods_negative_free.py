"""The sections of the methods that balance clusters or decorrelate dimensions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fkt.params.base import Count, NonNegative, Positive, Probability, Section, Size

QueueSize = Annotated[int, Field(ge=0)]


class SwAVParams(Section):
    """SwAV (arXiv:2006.09882)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection and of a prototype."""
    prototypes: Size
    """K, several for each class; a batch (with its queue) of fewer images than this cannot use them all."""
    temperature: Positive
    """Divides the scores that predict a code."""
    epsilon: Positive
    """Divides the scores that a code is made from; smaller is closer to one prototype for each image."""
    sinkhorn_iterations: Count
    """Rounds of balancing the codes of a batch."""
    frozen_share: Probability
    """Share of the run, at its start, in which the prototypes do not move."""
    queue_size: QueueSize
    """Earlier projections of each view that take part in the balancing; 0 is no queue."""
    queue_start: Probability
    """Share of the run after which they take part."""


class BarlowTwinsParams(Section):
    """Barlow Twins (arXiv:2103.03230)."""

    projector_hidden: Count
    """Width of the projector's two hidden layers."""
    projector_size: Size
    """D, the size of a projection; the loss is a sum over D terms on the diagonal and D (D - 1) beside it."""
    redundancy_weight: NonNegative
    """lambda, the weight of the terms beside the diagonal."""
    loss_scale: Positive
    """Multiplies the loss, which starts near D; 1 is the paper's loss."""


class VICRegParams(Section):
    """VICReg (arXiv:2105.04906)."""

    projector_hidden: Count
    """Width of the expander's two hidden layers."""
    projector_size: Size
    """Size of a projection."""
    invariance_weight: NonNegative
    """lambda, of the distance between the two views of an image."""
    variance_weight: Positive
    """mu, of the hinge that keeps the standard deviation of each dimension at 1; without it, all collapses."""
    covariance_weight: NonNegative
    """nu, of the squared covariances between dimensions."""
