"""Heads on top of pooled features."""

from __future__ import annotations

from torch import nn


def projector(feature_size: int, hidden_size: int, output_size: int) -> nn.Sequential:
    """Two-layer projector of SimCLR (arXiv:2002.05709, Sec. 2.1): Linear, ReLU, Linear; (B, D) -> (B, output_size)."""
    return nn.Sequential(
        nn.Linear(feature_size, hidden_size), nn.ReLU(inplace=True), nn.Linear(hidden_size, output_size)
    )
