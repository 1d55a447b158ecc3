"""Which images shape the statistics that a network normalizes by once it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Let no batch norm of the network update its running statistics inside the block.

    For passes over what the network is never used on: tiles, rotated images. Such a batch is normalized by its own
    statistics as in any training step; the running ones stay those of upright whole images, which is what
    validation and use see.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
