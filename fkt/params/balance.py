"""How the joint run weighs its two losses: the sections of the balances that have numbers of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fkt.params.base import NonNegative, Positive, Section


class ScheduleParams(Section):
    """Of ``balance: schedule``: the weight of the self-supervised loss as a curve over the run."""

    curve: Literal["constant", "linear", "cosine"]
    """How the weight goes from lambda to 0 once it has risen; constant keeps lambda."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the weight first rises from 0 to lambda, along a line."""


class GradNormParams(Section):
    """Of ``balance: gradnorm`` (arXiv:1711.02257)."""

    alpha: NonNegative
    """Strength of the force that makes both losses fall at the same relative rate; 0 keeps the norms equal."""
    learning_rate: Positive
    """Of the two weights, by Adam; 0.025 in the paper."""
