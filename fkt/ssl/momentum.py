"""Momentum targets, and the base of the methods that have them: BYOL, MoCo, TriBYOL and Cross."""

import copy
import math

import torch
from torch import Tensor, nn

from fkt.models.backbones import ResNet
from fkt.params.methods import TauSchedule
from fkt.ssl.base import Method


class Target(nn.Module):
    """A copy of an online network that follows it as a moving average: xi <- tau * xi + (1 - tau) * theta.

    It has no gradient. Only parameters are averaged: the target runs in train mode and normalizes each batch by its
    own statistics, so that its running statistics are never used.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the target's projections of images."""
        projections: Tensor = self.network(images)
        return projections

    @torch.no_grad()
    def follow(self, online: nn.Module, tau: float) -> None:
        """Move towards the online network; tau = 1 does not move, tau = 0 copies."""
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(online.parameters())
        torch._foreach_mul_(mine, tau)
        torch._foreach_add_(mine, theirs, alpha=1 - tau)


def tau_at(start: float, schedule: TauSchedule, progress: float) -> float:
    """Return tau at a fraction of the run.

    ``cosine`` rises from ``start`` to 1 at the end, as in BYOL (arXiv:2006.07733, Sec. 3.2).
    """
    if schedule == "constant":
        return start
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


class MomentumMethod(Method):
    """A method whose target follows its online backbone and projector."""

    def __init__(
        self, backbone: ResNet, projector: nn.Module, tau: float, tau_schedule: TauSchedule = "constant"
    ) -> None:
        super().__init__(backbone)
        self.projector = projector
        self.target = Target(self._followed())
        self.tau, self.tau_schedule = tau, tau_schedule

    def after_step(self, progress: float) -> None:
        """Move the targets towards the online network."""
        tau = tau_at(self.tau, self.tau_schedule, progress)
        for target in self.moving_targets():
            target.follow(self._followed(), tau)

    def moving_targets(self) -> list[Target]:
        """Return the targets that move after this step."""
        return [self.target]

    def _followed(self) -> nn.Sequential:
        """Return the online network without its predictor.

        It is not an attribute, because state_dict would then list its weights twice.
        """
        return nn.Sequential(self.backbone, self.projector)
