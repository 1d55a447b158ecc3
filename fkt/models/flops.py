"""Floating-point operations of a network, counted layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def forward_flops(module: nn.Module, image: Tensor) -> int:
    """Count the operations of the convolutions and linear layers in one forward pass; a multiply-add is two.

    image: (1, C, H, W) on the module's device. torch's own counter, which the tests hold this to, imports torch's
    compiler (1.2 s).
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += 2 * output.numel() * layer.weight[0].numel()

    training = module.training
    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    with torch.no_grad():
        module.eval()(image)
    for handle in handles:
        handle.remove()
    module.train(training)
    return total
