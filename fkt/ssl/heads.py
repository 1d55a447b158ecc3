"""Heads on top of pooled features."""

from __future__ import annotations

from torch import nn


def projector(feature_size: int, hidden_size: int, output_size: int) -> nn.Sequential:
    """Two-layer projector of SimCLR (arXiv:2002.05709, Sec. 2.1): Linear, ReLU, Linear; (B, D) -> (B, output_size)."""
    return mlp(feature_size, hidden_size, output_size, layers=2, batch_norm=False, last_norm=False)


def mlp(
    input_size: int, hidden_size: int, output_size: int, *, layers: int, batch_norm: bool, last_norm: bool
) -> nn.Sequential:
    """Projector or predictor of ``layers`` linear layers; (B, input_size) -> (B, output_size).

    batch_norm: normalize before each ReLU; the linear layer before it then has no bias, which it would take away
    again. last_norm: normalize the output too, without scale and shift, as SimSiam's projector does
    (arXiv:2011.10566, Sec. 3 and its code). With 2 layers, batch_norm and not last_norm it is BYOL's Linear, BN,
    ReLU, Linear (arXiv:2006.07733, Sec. 3.3). Raises ValueError for fewer than 1 layer.
    """
    if layers < 1:
        raise ValueError(f"a head needs at least 1 layer, not {layers}")
    modules: list[nn.Module] = []
    size = input_size
    for _ in range(layers - 1):
        modules.append(nn.Linear(size, hidden_size, bias=not batch_norm))
        if batch_norm:
            modules.append(nn.BatchNorm1d(hidden_size))
        modules.append(nn.ReLU(inplace=True))
        size = hidden_size
    modules.append(nn.Linear(size, output_size, bias=not last_norm))
    if last_norm:
        modules.append(nn.BatchNorm1d(output_size, affine=False))
    return nn.Sequential(*modules)
