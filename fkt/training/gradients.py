"""The gradients of two losses on the network they share, read from a graph that is still to be used for the step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of a scalar loss on each parameter, zeros where it has none, and keep the loss's graph.

    No ``grad`` is touched and nothing goes forward, so that normalization statistics stay as they are. Inside
    autocast too the gradients are those that a backward pass outside of it gives, as in the step itself.
    """
    with torch.autocast(loss.device.type, enabled=False):
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))


def compare_gradients(ce: Tensor, ssl: Tensor, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Compare the gradients of cross-entropy and of the self-supervised loss, both without their weights.

    Returns ``grad_cosine``, the cosine of the angle between them (negative where the losses pull apart), and
    ``grad_norm_ratio``, the norm of the self-supervised one over that of cross-entropy: scalars, over all the
    parameters together. Where either gradient is 0 there is neither, and the result is empty.
    """
    of_ce, of_ssl = (torch.cat([gradient.flatten() for gradient in gradients(loss, parameters)]) for loss in (ce, ssl))
    norm_ce, norm_ssl = of_ce.norm(), of_ssl.norm()
    cosine, ratio = (of_ce / norm_ce) @ (of_ssl / norm_ssl), norm_ssl / norm_ce
    if not (torch.isfinite(cosine) and torch.isfinite(ratio)):  # a loss that is learned by heart leaves no gradient
        return {}
    return {"grad_cosine": cosine, "grad_norm_ratio": ratio}
