"""Target networks that follow an online network as a moving average (BYOL, MoCo and what builds on them)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from fkt.params.methods_momentum import TauSchedule


class Target(nn.Module):
    """A copy of an online network that no gradient reaches: xi <- tau * xi + (1 - tau) * theta.

    Parameters alone are averaged. The target runs in train mode, so that it normalizes by the statistics of its own
    batch; its running statistics are its own and serve nothing.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(online)
        self.network.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return what the target makes of images, without gradient."""
        output = self.network(images)
        assert isinstance(output, Tensor)
        return output

    @torch.no_grad()
    def follow(self, online: nn.Module, tau: float) -> None:
        """Move towards the online network; tau = 1 stays, tau = 0 copies."""
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(online.parameters())
        torch._foreach_mul_(mine, tau)
        torch._foreach_add_(mine, theirs, alpha=1 - tau)


def tau_at(start: float, schedule: TauSchedule, progress: float) -> float:
    """Return tau at a point of the run; progress: the share of it that is done.

    ``constant`` stays at ``start``; ``cosine`` is BYOL's (arXiv:2006.07733, Sec. 3.2), from ``start`` to 1 at the end.
    """
    if schedule == "constant":
        return start
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2
