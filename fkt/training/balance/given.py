"""Balances whose weights are given beforehand: nothing is learned."""

from __future__ import annotations

import math

from torch import Tensor

from fkt.params import ScheduleParams
from fkt.training.balance.base import Balance, Fused


class Fixed(Balance):
    """L_CE + lambda * L_SSL (arXiv:2304.01354, Eq. 5)."""

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        return self._fused(ce, ssl, 1.0, 1.0)


class Schedule(Balance):
    """L_CE + lambda * share * L_SSL, where the share is a curve over the run.

    A share that falls from 1 to 0 is the continuum between representational and functional transfer: with a large
    lambda next to nothing but self-supervision shapes the network at first, as in pretraining, and nothing but the
    labels at last, as in fine-tuning; in between both do, as in the joint run.
    """

    def __init__(self, ssl_weight: float, params: ScheduleParams) -> None:
        super().__init__(ssl_weight)
        self.params = params
        self._share = ssl_share(0.0, params)

    def before_step(self, progress: float) -> None:
        """See Balance.before_step."""
        self._share = ssl_share(progress, self.params)

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        return self._fused(ce, ssl, 1.0, self._share)


def ssl_share(progress: float, params: ScheduleParams) -> float:
    """Return the share of lambda at a point of the run, in [0, 1]; progress: the share of the run that is done.

    It rises along a line from 0 at the start to 1 at ``warmup_fraction``, and from there falls to 0 at the end.
    """
    if progress < params.warmup_fraction:
        return progress / params.warmup_fraction
    since = (progress - params.warmup_fraction) / (1 - params.warmup_fraction)
    match params.curve:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - since
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * since))
