"""Weights that keep the losses' gradients in proportion (Chen et al., ICML 2018, arXiv:1711.02257)."""

from __future__ import annotations

import torch
from torch import Tensor

from fkt.params import GradNormParams
from fkt.training.balance.base import Balance, Fused
from fkt.training.gradients import gradients

LEAST_WEIGHT = 1e-3
"""The paper names none; but Adam would step across 0, and a loss of negative weight is climbed."""
BETAS, EPS = (0.9, 0.999), 1e-8
"""Of Adam, as its own paper has them."""


class GradNorm(Balance):
    """After each step the weights move towards gradients of the size that Eq. 1 of the paper asks for.

    That is one size for both, times each loss's relative inverse training rate to the power alpha: the loss that has
    fallen less gets the larger gradient. Sizes are norms on the weights of the last layer that the losses share, as
    in the paper; here it is the last convolution of the backbone, and each loss may have come through it in a forward
    pass of its own. L(0) are the losses of the first step; losses must be positive. The weights are updated by Adam
    at a constant rate of their own (Sec. 5.1), then scaled to sum to 2.

    Lambda has no part in that: the weights are those of lambda = 1, where both losses count the same.
    """

    by_size = True
    weights: Tensor
    initial: Tensor
    first_moment: Tensor
    second_moment: Tensor
    steps: Tensor

    def __init__(self, ssl_weight: float, params: GradNormParams, layer: Tensor) -> None:
        """layer: the weights of the last shared layer, a parameter of the network."""
        super().__init__(ssl_weight)
        self.alpha, self.learning_rate = params.alpha, params.learning_rate
        self._layer = [layer]  # in a list, for it is the network's parameter and none of this module's
        self.register_buffer("weights", torch.ones(2))
        self.register_buffer("initial", torch.ones(2))  # L(0), from the first step on
        self.register_buffer("first_moment", torch.zeros(2))
        self.register_buffer("second_moment", torch.zeros(2))
        self.register_buffer("steps", torch.zeros(()))
        self._seen: tuple[Tensor, Tensor] | None = None  # losses and norms of the step under way

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward; the weights stay as they are until after_step, for the backward pass needs them."""
        norms = torch.stack([gradients(loss, self._layer)[0].norm() for loss in (ce, ssl)])
        self._seen = torch.stack([ce.detach(), ssl.detach()]), norms
        return self._fused(ce, ssl, self.weights[0], self.weights[1])

    @torch.no_grad()
    def after_step(self) -> None:
        """See Balance.after_step; nothing waits for the device."""
        assert self._seen is not None, "a forward pass comes first"
        (losses, norms), self._seen = self._seen, None
        self.initial = torch.where(self.steps == 0, losses, self.initial)
        self.steps = self.steps + 1
        gradient = gradnorm_gradient(self.weights, norms, losses / self.initial, self.alpha)
        self.first_moment = BETAS[0] * self.first_moment + (1 - BETAS[0]) * gradient
        self.second_moment = BETAS[1] * self.second_moment + (1 - BETAS[1]) * gradient.square()
        first = self.first_moment / (1 - BETAS[0] ** self.steps)
        second = self.second_moment / (1 - BETAS[1] ** self.steps)
        moved = (self.weights - self.learning_rate * first / (second.sqrt() + EPS)).clamp(min=LEAST_WEIGHT)
        self.weights = moved * (len(moved) / moved.sum())


def gradnorm_gradient(weights: Tensor, norms: Tensor, loss_ratios: Tensor, alpha: float) -> Tensor:
    """Return the gradient of L_grad (Eq. 2) on the weights of T losses, (T,).

    weights: (T,) w_i > 0; norms: (T,) of the gradients of the losses without weights, so that G_i = w_i * norms_i;
    loss_ratios: (T,) L_i(t) / L_i(0) > 0. L_grad = sum_i |G_i - target_i| with the targets mean(G) * r_i ** alpha and
    the rates r_i = loss_ratios_i / mean(loss_ratios), all of it constant: no derivative of a gradient is needed.
    """
    sizes = weights * norms
    rates = loss_ratios / loss_ratios.mean()
    return (sizes - sizes.mean() * rates**alpha).sign() * norms
