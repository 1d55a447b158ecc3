"""The contract of a balance, which makes one loss of two; it knows neither batch nor network.

Each has a weight for either loss, and lambda multiplies what belongs to the self-supervised one on top:
L = weight_ce * L_CE + lambda * weight_ssl * L_SSL. So lambda keeps its meaning in all of them: 1 is the case of the
papers, 0 leaves the self-supervised loss out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Fused:
    """Two losses as one."""

    total: Tensor
    """Scalar with gradient: what the step minimizes."""
    weight_ce: Tensor
    """What multiplies cross-entropy in it; a scalar without gradient."""
    weight_ssl: Tensor
    """What multiplies the self-supervised loss in it, lambda included; a scalar without gradient."""


class Balance(nn.Module, ABC):
    """Makes one loss of two.

    What the optimizer trains are its parameters, what it updates itself its buffers: a resumed run goes on with both.
    """

    by_size = False
    """Whether the losses' sizes decide the weights: then they must be at least 0."""

    def __init__(self, ssl_weight: float) -> None:
        """ssl_weight: lambda, at least 0."""
        super().__init__()
        self.ssl_weight = ssl_weight

    def before_step(self, progress: float) -> None:
        """Called before each step with the share of the run that is done, in [0, 1)."""

    @abstractmethod
    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """Fuse cross-entropy and the self-supervised loss, both float32 scalars with their graph."""

    def after_step(self) -> None:
        """Called after the optimizer."""

    def _fused(self, ce: Tensor, ssl: Tensor, weight_ce: Tensor | float, weight_ssl: Tensor | float) -> Fused:
        """Weigh the losses; weight_ssl is without lambda."""
        weight_ssl = self.ssl_weight * weight_ssl
        return Fused(weight_ce * ce + weight_ssl * ssl, _logged(weight_ce, ce), _logged(weight_ssl, ce))


def _logged(weight: Tensor | float, loss: Tensor) -> Tensor:
    return weight.detach() if isinstance(weight, Tensor) else torch.full((), weight, device=loss.device)
