"""Batch normalization by the statistics of a whole batch, of which each process has a part of the images."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core import ranks


class BatchNorm(nn.BatchNorm2d):
    """torch's BatchNorm2d; in a training step of several processes, with the mean and variance over all of them.

    torch's SyncBatchNorm does the same on a GPU, and refuses the CPU.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not (self.training and ranks.is_split()):
            return super().forward(input)
        # A momentum of 0 changes no running statistics. Without these, bfloat16 would give bfloat16 statistics.
        own = torch.batch_norm_update_stats(input.detach(), self.running_mean, self.running_var, 0.0)
        means, variances = ranks.gathered(torch.stack(own)).unbind(dim=1)  # (processes, C)
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        if self.track_running_stats:
            count = ranks.of_all(input.numel() // input.shape[1])
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        normalized: Tensor = _Normalize.apply(input, self.weight, self.bias, mean, variance, self.eps)
        return normalized


class _Normalize(torch.autograd.Function):
    """Normalize by statistics of all processes, and let their gradient reach the images of all processes."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, *others: Any) -> Tensor:  # noqa: ANN401
        mean, variance, eps = others
        ctx.save_for_backward(images, weight, mean, variance)
        ctx.eps = eps
        return F.batch_norm(images, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        images, weight, mean, variance = ctx.saved_tensors
        # With constant statistics. The gradients of weight and bias are the sums of g * normalized and of g.
        of_images, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, images, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        # What the statistics add: -weight / std * (mean of g + normalized * mean of g * normalized).
        count = images.numel() // len(weight)
        means = ranks.gathered(torch.stack([of_weight, of_bias])).mean(dim=0) / count
        slope, offset = -weight * (variance + ctx.eps).rsqrt() * means
        of_images += F.batch_norm(images, mean, variance, slope, offset, False, 0.0, ctx.eps)
        return of_images, of_weight, of_bias, None, None, None
