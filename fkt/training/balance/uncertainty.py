"""Weights by learned uncertainty (Kendall, Gal and Cipolla, CVPR 2018, arXiv:1705.07115)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fkt.training.balance.base import Balance, Fused


class Uncertainty(Balance):
    """exp(-s_ce) L_CE + s_ce / 2 + lambda * (exp(-s_ssl) L_SSL + s_ssl / 2), with log-variances s = log sigma^2.

    It is the paper's term for a classification (the second of Eq. 10), L / sigma^2 + log sigma, for both losses. The
    one for a regression, L / (2 sigma^2) + log sigma, is the same with s moved by log 2, but for a constant: it would
    differ in where the weight starts. Here both start at 1, which is ``fixed``.

    For a constant loss L the best weight is 1 / (2 L), times lambda for the self-supervised one: the smaller a loss,
    the larger its weight. A cross-entropy that is learned by heart lets weight_ce grow without a bound, and with it
    the size of an SGD step; sums of weights are not held, as GradNorm does.

    The log-variances are trained by the optimizer of the network at its rate, as in the paper, but without decay,
    which would pull the weights to 1. AdamW moves them by about the rate a step, so that a short run ends long
    before 1 / (2 L).
    """

    by_size = True

    def __init__(self, ssl_weight: float) -> None:
        super().__init__(ssl_weight)
        self.log_variances = nn.Parameter(torch.zeros(2))  # of one dimension, which optimizers leave without decay

    def forward(self, ce: Tensor, ssl: Tensor) -> Fused:
        """See Balance.forward."""
        s_ce, s_ssl = self.log_variances
        fused = self._fused(ce, ssl, torch.exp(-s_ce), torch.exp(-s_ssl))
        return Fused(fused.total + 0.5 * (s_ce + self.ssl_weight * s_ssl), fused.weight_ce, fused.weight_ssl)
