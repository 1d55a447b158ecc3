"""The normalization of images, the same for training, validation, test and prediction."""

from collections.abc import Sequence

import torch
from torch import Tensor


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale images (B, C, H, W) from [0, 255] to [0, 1], then to zero mean and unit deviation for each channel.

    images: uint8, or float32, which may be overwritten. mean, std: (C,) in [0, 1], of the training images.
    Returns float32, channels-last.
    """
    shift = torch.tensor(mean, dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    # In this layout one number applies to a whole plane, so that the operations are vectorized.
    floats = images.to(torch.float32, memory_format=torch.contiguous_format)
    floats.div_(255.0).sub_(shift).div_(scale)
    return floats.contiguous(memory_format=torch.channels_last)
