"""The gradients of two losses on their shared network, computed without disturbing the training step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fkt.core import ranks


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of a scalar loss for each parameter, zeros if it has none, and keep the loss's graph.

    No ``grad`` changes, and no forward pass is made, so that normalization statistics do not change. Inside autocast
    the gradients are the same as outside, where the training step computes them.
    """
    with torch.autocast(loss.device.type, enabled=False):
        found = list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))
    ranks.average(found)
    return found


def compare_gradients(ce: Tensor, ssl: Tensor, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Compare the gradients of cross-entropy and of the self-supervised loss, both without their weights.

    Return ``grad_cosine``, the cosine of the angle between them (negative: the losses conflict), and
    ``grad_norm_ratio``, the norm of the self-supervised gradient divided by that of cross-entropy: scalars, over all
    parameters together. If a gradient is 0, the result is empty.
    """
    of_ce, of_ssl = (torch.cat([gradient.flatten() for gradient in gradients(loss, parameters)]) for loss in (ce, ssl))
    norm_ce, norm_ssl = of_ce.norm(), of_ssl.norm()
    cosine, ratio = (of_ce / norm_ce) @ (of_ssl / norm_ssl), norm_ssl / norm_ce
    if not (torch.isfinite(cosine) and torch.isfinite(ratio)):  # a memorized loss has no gradient
        return {}
    return {"grad_cosine": cosine, "grad_norm_ratio": ratio}
