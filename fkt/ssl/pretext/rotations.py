"""Rotations by multiples of 90 degrees, and the head that predicts them."""

import torch
from torch import Tensor, nn

NUM_TURNS = 4
"""0, 90, 180 and 270 degrees counterclockwise; the number of quarter turns is the class."""


def rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate each image by its number of quarter turns, counterclockwise, as torch.rot90 does.

    images: (B, C, S, S), any dtype; turns: (B,) integers of any sign, on any device. Returns channels-last. Pixels only
    change places; an interpolated rotation would reveal the angle by its corners and its blur. Apply every flip before
    the rotation: flip(rot90(x)) = rot270(flip(x)), so a later flip would swap two classes. Raises ValueError if the
    images are not square.
    """
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be square to be rotated, not {images.shape[2]} x {images.shape[3]}")
    classes = (turns.to(images.device) % NUM_TURNS)[:, None, None, None]
    result = images
    for turn in range(1, NUM_TURNS):
        result = torch.where(classes == turn, torch.rot90(images, turn, (2, 3)), result)
    return result.contiguous(memory_format=torch.channels_last)


def rotation_head(feature_size: int, hidden: int) -> nn.Sequential:
    """Return the head of EffSSL's release (arXiv:2210.09866): Linear, BatchNorm, ReLU, Linear; (B, D) -> (B, 4)."""
    return nn.Sequential(
        nn.Linear(feature_size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, NUM_TURNS)
    )
