"""GradNorm as Algorithm 1 of arXiv:1711.02257 is written, with derivatives of gradients and torch's own Adam."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class NaiveGradNorm:
    """Two losses, lambda = 1."""

    def __init__(self, layer: Tensor, alpha: float, learning_rate: float) -> None:
        self.layer, self.alpha = layer, alpha
        self.weights = nn.Parameter(torch.ones(2, dtype=layer.dtype))
        self.optimizer = torch.optim.Adam([self.weights], lr=learning_rate)
        self.initial: list[float] = []

    def step(self, losses: Sequence[Tensor], network: torch.optim.Optimizer) -> None:
        """One turn of the loop of Algorithm 1; losses: with their graphs."""
        if not self.initial:
            self.initial = [loss.item() for loss in losses]
        norms = []
        for weight, loss in zip(self.weights, losses, strict=True):
            (gradient,) = torch.autograd.grad(weight * loss, self.layer, create_graph=True)
            norms.append(gradient.square().sum().sqrt())
        average = sum(norm.item() for norm in norms) / 2
        inverse_rates = [loss.item() / start for loss, start in zip(losses, self.initial, strict=True)]
        relative = [rate / (sum(inverse_rates) / 2) for rate in inverse_rates]
        difference = sum((norm - average * rate**self.alpha).abs() for norm, rate in zip(norms, relative, strict=True))
        (of_weights,) = torch.autograd.grad(difference, self.weights, retain_graph=True)
        network.zero_grad()
        sum(weight.detach() * loss for weight, loss in zip(self.weights, losses, strict=True)).backward()
        self.weights.grad = of_weights
        self.optimizer.step()
        network.step()
        with torch.no_grad():
            self.weights.mul_(2 / self.weights.sum())


def share(progress: float, curve: Callable[[float], float], warmup: float) -> float:
    """A rise along a line, then a curve of what is left of the run."""
    return progress / warmup if progress < warmup else curve((progress - warmup) / (1 - warmup))
