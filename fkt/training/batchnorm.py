"""The running statistics of batch normalization, estimated after a training instead of along it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimate the running statistics of all batch normalization layers of a model anew; nothing else changes.

    batches: inputs of the model, each of at least two images. The statistics are the means over the batches of each
    batch's mean and unbiased variance, every batch with the same weight. Raises ValueError without a batch.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(layer.training, layer.momentum) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages over all batches
        layer.train()
    count = 0
    try:
        for count, batch in enumerate(batches, start=1):  # noqa: B007
            model(batch)
    finally:
        for layer, (training, momentum) in zip(layers, before, strict=True):
            layer.train(training)
            layer.momentum = momentum
    if count == 0:
        raise ValueError("there is no batch to estimate the statistics of batch normalization from")
