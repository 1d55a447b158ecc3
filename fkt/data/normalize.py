"""The one way from stored bytes to what a network sees, for training, validation, test and use alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale uint8 (B, C, H, W) to [0, 1], then to zero mean and unit deviation for each channel.

    images may also be float32 in [0, 255], which is then overwritten.
    mean, std: one number a channel, of the training images in [0, 1]. Returns float32, channels-last.
    """
    shift = torch.tensor(mean, dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    floats = images.to(torch.float32, memory_format=torch.contiguous_format)  # one number a plane: vectorized
    floats.div_(255.0).sub_(shift).div_(scale)
    return floats.contiguous(memory_format=torch.channels_last)
