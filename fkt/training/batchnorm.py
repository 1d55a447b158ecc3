"""Statistics of BatchNorm, estimated anew after a training. No data and no settings here."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of all BatchNorm layers by their averages over batches, at least one.

    batches: inputs of the model, such as (B, C, H, W) normalized images; (B, ...) each. Every batch counts the same, so
    that batches of equal size are best (torch's cumulative average, as in stochastic weight averaging,
    arXiv:1803.05407). In this pass each layer normalizes by the batch, as in training, so that the result depends on
    the weights and the batches alone. All other modules stay as they are, in their mode; weights do not change.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    layers = [layer for layer in layers if layer.track_running_stats]
    before = [(layer.momentum, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # cumulative: the mean of what the batches give
            layer.train()
        for images in batches:
            model(images)
    finally:
        for layer, (momentum, training) in zip(layers, before, strict=True):
            layer.momentum = momentum
            layer.train(training)
