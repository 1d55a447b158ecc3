"""The contract of a self-supervised method; every objective speaks to methods through it alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor, nn

from fkt.models.backbones import ResNet


@dataclass(frozen=True)
class SSLOutput:
    """What a method returns for one batch of views."""

    loss: Tensor
    """Scalar, a mean over the batch."""
    features: Tensor
    """(V * B, D) features of the online backbone, view after view, with their gradient: they can be classified
    without a second pass."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Scalars that tell health from collapse, detached."""


class Method(nn.Module, ABC):
    """A self-supervised method on top of a backbone; it owns its heads, and later its targets and queues."""

    num_views: int
    """V, how many views of each image it wants."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.backbone = backbone

    @abstractmethod
    def forward(self, views: tuple[Tensor, ...]) -> SSLOutput:
        """views: V tensors (B, C, H, W); row i of each comes from image i."""

    def after_step(self, progress: float) -> None:
        """Update what no gradient updates; progress goes from 0 (exclusive) to 1 over the run."""
