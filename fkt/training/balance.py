"""How the two losses of the joint run are weighted: four balances, and the table that params.yaml names them by.

L = weight_ce * L_CE + lambda * weight_ssl * L_SSL. lambda multiplies the self-supervised part in every balance, so that
it keeps its meaning: 1 is the case of the papers, 0 leaves the self-supervised loss out. No batch and no network here.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fkt.params import GradNormParams, Joint, ScheduleParams
from fkt.training.gradients import gradients


@dataclass(frozen=True)
class Fused:
    """Two losses as one."""

    total: Tensor
    """Scalar with gradient: the loss that the step minimizes."""
    weight_ce: Tensor
    """Weight of cross-entropy; a scalar without gradient."""
    weight_ssl: Tensor
    """Weight of the self-supervised loss, lambda included; a scalar without gradient."""


class Balance(nn.Module, ABC):
    """Combines two losses. State is in parameters (trained by the optimizer) and buffers, so that runs can resume."""

    by_size = False
    """Whether the weights depend on the size of the losses, which must then be at least 0."""

    def __init__(self, ssl_weight: float) -> None:
        """ssl_weight: lambda, at least 0."""
        super().__init__()
        self.ssl_weight = ssl_weight

    def before_step(self, progress: float) -> None:
        """Run before each step. progress: fraction of the run that is done, in [0, 1)."""

    @abstractmethod
    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """Combine cross-entropy and the self-supervised loss: float32 scalars with their graph."""

    def after_step(self) -> None:
        """Run after each optimizer step."""

    def _fused(self, ce: Tensor, ssl: Tensor, weight_ce: Tensor | float, weight_ssl: Tensor | float) -> Fused:
        """Weight the losses; weight_ssl does not include lambda."""
        weight_ssl = self.ssl_weight * weight_ssl
        return Fused(weight_ce * ce + weight_ssl * ssl, _logged(weight_ce, ce), _logged(weight_ssl, ce))


def _logged(weight: Tensor | float, loss: Tensor) -> Tensor:
    return weight.detach() if isinstance(weight, Tensor) else torch.full((), weight, device=loss.device)


class Fixed(Balance):
    """L_CE + lambda * L_SSL (arXiv:2304.01354, Eq. 5)."""

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        return self._fused(ce, ssl, 1.0, 1.0)


class Schedule(Balance):
    """L_CE + lambda * share * L_SSL, where the share follows a curve over the run.

    A share that falls from 1 to 0 lies between representational and functional transfer: with a large lambda the
    network learns almost only from self-supervision at first, as in pretraining, and only from labels at last, as in
    fine-tuning.
    """

    def __init__(self, ssl_weight: float, params: ScheduleParams) -> None:
        super().__init__(ssl_weight)
        self.params = params
        self._share = ssl_share(0.0, params)

    def before_step(self, progress: float) -> None:
        """See Balance.before_step."""
        self._share = ssl_share(progress, self.params)

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        return self._fused(ce, ssl, 1.0, self._share)


def ssl_share(progress: float, params: ScheduleParams) -> float:
    """Return the share of lambda, in [0, 1], at a point of the run. progress: fraction of the run that is done.

    The share rises linearly from 0 to 1 at ``warmup_fraction``, and then falls to 0 at the end.
    """
    if progress < params.warmup_fraction:
        return progress / params.warmup_fraction
    since = (progress - params.warmup_fraction) / (1 - params.warmup_fraction)
    match params.curve:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - since
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * since))


class Uncertainty(Balance):
    """Learned uncertainties (Kendall, Gal and Cipolla, CVPR 2018, arXiv:1705.07115).

    exp(-s_ce) L_CE + s_ce / 2 + lambda * (exp(-s_ssl) L_SSL + s_ssl / 2), with log-variances s = log sigma^2. Both
    losses get the paper's term for a classification (the second of Eq. 10), L / sigma^2 + log sigma. The term for a
    regression, L / (2 sigma^2) + log sigma, is the same with s shifted by log 2, except for a constant: only the
    initial weight would differ. Here both weights start at 1, as in ``fixed``.

    For a constant loss L the best weight is 1 / (2 L), times lambda for the self-supervised loss: a small loss gets a
    large weight. If cross-entropy is memorized, weight_ce grows without bound, and with it the SGD step.

    The log-variances are trained by the optimizer of the network, as in the paper, but without weight decay, which
    would pull the weights to 1. AdamW moves them by about the learning rate a step: a short run ends long before they
    reach 1 / (2 L).
    """

    by_size = True

    def __init__(self, ssl_weight: float) -> None:
        super().__init__(ssl_weight)
        self.log_variances = nn.Parameter(torch.zeros(2))  # one-dimensional parameters have no weight decay

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        s_ce, s_ssl = self.log_variances
        fused = self._fused(ce, ssl, torch.exp(-s_ce), torch.exp(-s_ssl))
        return Fused(fused.total + 0.5 * (s_ce + self.ssl_weight * s_ssl), fused.weight_ce, fused.weight_ssl)


LEAST_WEIGHT = 1e-3
"""Adam could move a weight below 0, and a loss with a negative weight would be maximized. The paper has no bound."""
BETAS, EPS = (0.9, 0.999), 1e-8
"""Of Adam, as in its paper."""


class GradNorm(Balance):
    """Weights that keep the gradients of the losses in proportion (Chen et al., ICML 2018, arXiv:1711.02257).

    After each step the weights move towards gradients of the size of the paper's Eq. 1: the same for both losses, times
    each loss's relative inverse training rate to the power alpha, so that the loss that has fallen less gets the larger
    gradient. The size is the norm on the weights of the last layer that the losses share, the last convolution of the
    backbone. L(0) are the losses of the first step; losses must be positive. Adam updates the weights at its own
    constant rate (Sec. 5.1), and they are then scaled to sum to 2. They do not depend on lambda.
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
        self._layer = [layer]  # in a list, so that it is not registered as a parameter of this module
        self.register_buffer("weights", torch.ones(2))
        self.register_buffer("initial", torch.ones(2))  # L(0), set in the first step
        self.register_buffer("first_moment", torch.zeros(2))
        self.register_buffer("second_moment", torch.zeros(2))
        self.register_buffer("steps", torch.zeros(()))
        self._seen: tuple[Tensor, Tensor] | None = None  # losses and norms of the current step

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward. The weights change in after_step, because the backward pass needs them unchanged."""
        norms = torch.stack([gradients(loss, self._layer)[0].norm() for loss in (ce, ssl)])
        self._seen = torch.stack([ce.detach(), ssl.detach()]), norms
        return self._fused(ce, ssl, self.weights[0], self.weights[1])

    @torch.no_grad()
    def after_step(self) -> None:
        """See Balance.after_step. Nothing here waits for the device."""
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
    """Return the gradient of L_grad (Eq. 2) with respect to the weights of T losses, (T,).

    weights: (T,) w_i > 0. norms: (T,) gradient norms of the losses without weights, so that G_i = w_i * norms_i.
    loss_ratios: (T,) L_i(t) / L_i(0) > 0. L_grad = sum_i |G_i - target_i| with the targets mean(G) * r_i ** alpha and
    the rates r_i = loss_ratios_i / mean(loss_ratios), all constant: no derivative of a gradient is needed.
    """
    sizes = weights * norms
    rates = loss_ratios / loss_ratios.mean()
    return (sizes - sizes.mean() * rates**alpha).sign() * norms


def build_balance(params: Joint, ssl_weight: float, layer: Tensor) -> Balance:
    """Build the balance that ``joint.balance`` names. ssl_weight: lambda; layer: weights of the last shared layer."""
    match params.balance:
        case "fixed":
            return Fixed(ssl_weight)
        case "schedule":
            return Schedule(ssl_weight, params.schedule)
        case "uncertainty":
            return Uncertainty(ssl_weight)
        case "gradnorm":
            return GradNorm(ssl_weight, params.gradnorm, layer)
