"""Optimizers, parameter groups and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from fkt.core.eager import eager
from fkt.params import Training


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv:1708.03888) with momentum.

    For a weight w of two or more dimensions with gradient g, the step direction is r * (g + wd * w) with
    r = eta * ||w|| / (||g|| + wd * ||w|| + eps), and the plain gradient if either norm is 0. One-dimensional tensors
    (biases, normalization) get plain momentum SGD without weight decay, as in SimCLR. The learning rate multiplies the
    momentum buffer (the PyTorch convention), not the direction that enters it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float,
        weight_decay: float,
        trust_coefficient: float,
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient. Return the result of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        direction = gradient
        if weight.ndim > 1:
            decay = group["weight_decay"]
            weight_norm, gradient_norm = weight.norm(), gradient.norm()
            ratio = group["trust_coefficient"] * weight_norm / (gradient_norm + decay * weight_norm + group["eps"])
            # No adaptation and no decay if either norm is zero: with a ratio of 1, a weight without gradient would
            # decay 1 / trust_coefficient times as fast as a weight with a small gradient.
            scaled = gradient.add(weight, alpha=decay) * ratio
            direction = torch.where((weight_norm > 0) & (gradient_norm > 0), scaled, gradient)
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"]
        buffer.mul_(group["momentum"]).add_(direction)
        weight.add_(buffer, alpha=-group["lr"])


def build_optimizer(module: nn.Module, training: Training) -> Optimizer:
    """Build the optimizer of a training section for all trainable parameters of a module.

    Only weights of two or more dimensions have weight decay.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match training.optimizer:
        case "sgd":
            # Not fused, because SwAV's prototypes get their first gradient, and so their momentum, later than others.
            return eager(SGD)(groups, lr=training.learning_rate, momentum=training.momentum, foreach=True)
        case "adamw":
            return eager(AdamW)(groups, lr=training.learning_rate, fused=True)
        case "lars":
            return eager(LARS)(
                groups,
                lr=training.learning_rate,
                momentum=training.momentum,
                weight_decay=training.weight_decay,
                trust_coefficient=training.trust_coefficient,
            )


def learning_rate(step: int, steps: int, peak: float, warmup_fraction: float) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then a cosine from the peak to 0.

    The last step of the warm-up has the peak; the rate would be 0 at step ``steps``, which is not taken.
    """
    warmup = round(warmup_fraction * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
