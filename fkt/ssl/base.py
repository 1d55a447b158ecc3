"""The contract of a self-supervised method; every objective speaks to methods through it alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.params.base import Section
from fkt.views.loader import Views


@dataclass(frozen=True)
class SSLOutput:
    """What a method returns for one batch of views."""

    loss: Tensor
    """Scalar, a mean over the batch."""
    features: Tensor
    """(v * B, D) features of the online backbone, with their gradient: those of the first v <= V views, the ones that
    went through it, view after view. They can be classified without a second pass."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Scalars that tell health from collapse, detached."""


@dataclass(frozen=True)
class Setting:
    """What the run around a method is like, for what must be sized by it: queues, banks, prototypes, tiles."""

    num_images: int
    """N, training images."""
    batch_size: int
    num_classes: int
    image_size: int
    """Side of the views in pixels."""
    channels: int


def setting_of(split: Split, batch_size: int) -> Setting:
    """Return the setting of a run on a training split."""
    meta = split.meta
    return Setting(len(split), batch_size, meta.num_classes, meta.image_size, meta.channels)


class Method(nn.Module, ABC):
    """A self-supervised method on top of a backbone; it owns its heads, targets, queues and banks.

    State that no gradient changes lives in buffers, so that a resumed run goes on with it; draws come from
    ``views.generator(name)``, so that they depend on the step alone.
    """

    section: ClassVar[type[Section] | None] = None
    """The model of the method's section of ssl in params.yaml, where fkt/params does not have it."""
    num_views: int
    """V, how many views of each image it wants."""
    infimum: float = 0.0
    """What the loss cannot fall below; balances that compare losses by size measure from here, and stop below it."""
    target_passes: int = 0
    """Forward passes of each image through networks without gradient (momentum targets); they count as FLOPs."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def online_passes(self) -> float:
        """Forward and backward passes of each image through the backbone in a step; tiles cost a share of one."""
        return self.num_views

    @abstractmethod
    def forward(self, views: Views) -> SSLOutput:
        """Return the loss of one batch, and the features of the views that the online backbone has seen."""

    def after_step(self, progress: float) -> None:
        """Update what no gradient updates, after the optimizer; progress is the share of the run done, in (0, 1]."""
