"""Rotations by multiples of 90 degrees, drawn, done and predicted."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

NUM_TURNS = 4
"""0, 90, 180 and 270 degrees counterclockwise; a turn's number is its class."""


def draw_turns(count: int, generator: Generator) -> Tensor:
    """Return (count,) int64 turns, uniform in 0 ... 3 and independent; generator: on the CPU."""
    return torch.randint(NUM_TURNS, (count,), generator=generator)


def quarter_turned(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate each image by its own number of quarter turns, counterclockwise, as torch.rot90 does.

    images: (B, C, S, S) of any dtype; turns: (B,) integers of any sign on any device. Pixels only change places: an
    interpolated rotation would leave corners and blur that give the angle away. Returns channels-last. It belongs
    after every flip, since flip(rot90(x)) = rot270(flip(x)) and a later flip would swap two of the classes.
    Raises ValueError where images are not square.
    """
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be square to be turned, not {images.shape[2]} x {images.shape[3]}")
    classes = (turns.to(images.device) % NUM_TURNS)[:, None, None, None]
    turned = images
    for turn in range(1, NUM_TURNS):
        turned = torch.where(classes == turn, torch.rot90(images, turn, (2, 3)), turned)
    return turned.contiguous(memory_format=torch.channels_last)


def turn_classifier(feature_size: int, hidden: int) -> nn.Sequential:
    """Head of EffSSL's release (arXiv:2210.09866): Linear, BatchNorm, ReLU, Linear; (B, D) -> (B, 4), B >= 2."""
    return nn.Sequential(
        nn.Linear(feature_size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, NUM_TURNS)
    )
