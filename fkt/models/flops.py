"""Floating-point operations of a network, counted layer by layer."""

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook


def image_flops(backbone: nn.Module, channels: int, image_size: int) -> int:
    """Return the operations of a backbone in one forward pass of one image."""
    device = next(backbone.parameters()).device
    return forward_flops(backbone, torch.zeros(1, channels, image_size, image_size, device=device))


def forward_flops(module: nn.Module, image: Tensor) -> int:
    """Return the operations of the convolutions and linear layers in one forward pass. A multiply-add counts as two.

    image: (1, C, H, W) on the module's device. torch's own counter gives the same number, but its import takes 1.2 s.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += 2 * output.numel() * layer.weight[0].numel()

    training = module.training
    with torch.no_grad(), register_module_forward_hook(count):
        module.eval()(image)
    module.train(training)
    return total
