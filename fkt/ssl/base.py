"""The contract of a self-supervised method. Objectives use methods only through it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.views.loader import Views


@dataclass(frozen=True)
class SSLOutput:
    """The result of a method for one batch of views."""

    loss: Tensor
    """Scalar, a mean over the batch."""
    features: Tensor
    """(M, D) features of the online backbone, with gradient. If Method.whole_views, those of the first v <= V views,
    view after view, M = v * B: an objective can classify them without a second forward pass. Otherwise those of parts
    of the views, such as tiles, which show a collapse and nothing else."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Detached scalars for the learning curve, such as signs of collapse."""


@dataclass(frozen=True)
class Setting:
    """Sizes of the run. Methods need them for queues, memory banks and tiles."""

    num_images: int
    """N, the number of training images."""
    batch_size: int
    num_classes: int
    image_size: int
    """Height and width of the views in pixels."""
    channels: int


def setting_of(split: Split, batch_size: int) -> Setting:
    """Return the setting of a run on a training split."""
    meta = split.meta
    return Setting(len(split), batch_size, meta.num_classes, meta.image_size, meta.channels)


class Method(nn.Module, ABC):
    """A self-supervised method: a backbone with heads, targets, queues and memory banks.

    State that no gradient updates belongs in buffers, so that a resumed run continues with it. Random numbers come
    from ``views.generator(name)``, so that they depend on the step only. With several processes, those of each image
    are drawn for the whole batch: see ``of_all`` and ``mine`` in fkt.core.ranks.
    """

    num_views: int
    """V, the number of views of each image."""
    lower_bound: float = 0.0
    """The loss is never lower. Balances that compare losses by size measure it from here."""
    whole_views: bool = True
    """Whether the backbone sees whole views. If not, no step updates its running statistics: these are estimated after
    pretraining, and an objective that classifies views passes them itself."""
    sizes: Mapping[str, float]
    """Sizes of heads, queues and banks, by their keys in params.yaml, for the record of the run."""
    online_passes: float
    """Forward and backward passes of each image through the backbone in a step, by default num_views."""
    target_passes: int = 0
    """Forward passes of each image through momentum targets, without gradient. They count as FLOPs."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.backbone = backbone
        self.online_passes = self.num_views
        self.sizes = {}

    @abstractmethod
    def forward(self, views: Views) -> SSLOutput:
        """Return the loss of one batch, and the features of the views that the online backbone has seen."""

    def after_step(self, progress: float) -> None:
        """Update targets, queues and banks after the optimizer step; progress: fraction of the run done, in (0, 1]."""

    def pretext_features(self, images: Tensor) -> Tensor:
        """Return the backbone's features of tiles or rotated images without an update of its running statistics.

        These stay those of whole upright images, as in validation. The batch is normalized by its own statistics.
        """
        layers = [module for module in self.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        for layer in layers:
            layer.track_running_stats = False
        try:
            features: Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        finally:
            for layer in layers:
                layer.track_running_stats = True
        return features
