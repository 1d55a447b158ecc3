"""The sections of the methods that follow themselves: by a momentum network or by a stopped gradient."""

from __future__ import annotations

from typing import Literal

from fkt.params.base import Count, Probability, Section, Size

TauSchedule = Literal["constant", "cosine"]


class BYOLParams(Section):
    """BYOL (arXiv:2006.07733)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection and of a prediction."""
    predictor_hidden: Count
    """Width of the predictor's hidden layer."""
    tau: Probability
    """What the target keeps of itself in a step, at the start; 0 copies the online network, 1 never moves."""
    tau_schedule: TauSchedule
    """``cosine`` lets tau rise to 1 at the end of the run, as in the paper."""


class SimSiamParams(Section):
    """SimSiam (arXiv:2011.10566)."""

    projector_layers: Count
    """Linear layers of the projector: 3 in the paper, 2 on CIFAR-10."""
    projector_hidden: Count
    """Width of the projector's hidden layers."""
    projector_size: Size
    """Size of a projection and of a prediction."""
    predictor_hidden: Count
    """Width of the predictor's hidden layer; a quarter of ``projector_size`` in the paper, a bottleneck."""


class TriBYOLParams(Section):
    """TriBYOL (arXiv:2206.03012)."""

    projector_hidden: Count
    """Width of the projectors' hidden layer."""
    projector_size: Size
    """Size of a projection and of a prediction."""
    predictor_hidden: Count
    """Width of the predictor's hidden layer."""
    tau: Probability
    """What a target keeps of itself when it is updated, at the start."""
    tau_schedule: TauSchedule
    """``cosine`` lets tau rise to 1 at the end of the run."""
    target_updates: Literal["alternate", "both", "shared"]
    """``alternate`` moves the targets in turn; ``both`` moves both in each step, so that they stay equal; ``shared``
    has one target for both pairs."""


class CrossParams(Section):
    """Cross, in our reading of arXiv:2104.02864."""

    projector_hidden: Count
    """Width of the projectors' hidden layer."""
    projector_size: Size
    """Size of a projection and of a prediction."""
    predictor_hidden: Count
    """Width of the predictor's hidden layer."""
    tau: Probability
    """What the teacher keeps of itself in a step, at the start."""
    tau_schedule: TauSchedule
    """``cosine`` lets tau rise to 1 at the end of the run."""
    teacher_view: Literal["other", "same"]
    """Which view the teacher sees where the student's prediction from one view is compared with it."""
