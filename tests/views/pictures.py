"""Pictures, transforms and splits for the tests of views, built in memory."""

import torch
from torch import Tensor

from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.params.augment import BATCHED, Foreign, Transform


def step(name: str, p: float = 1.0, **arguments: object) -> Transform:
    """Return one step, checked like params.yaml."""
    return BATCHED.get(name, Foreign)(name=name, p=p, **arguments)


def meta(size: int, channels: int, mean: float = 0.0, std: float = 1.0, num_classes: int = 3) -> Meta:
    """Return a Meta. With mean 0 and deviation 1, normalization only divides by 255."""
    names = [f"class {label}" for label in range(num_classes)]
    return Meta("fake", names, size, channels, {}, [mean] * channels, [std] * channels)


def picture(size: int, channels: int, seed: int = 0) -> Tensor:
    """Return a smooth random picture with a bright rectangle: (1, C, S, S) uint8, not symmetric, partly saturated."""
    coarse = torch.rand(1, channels, 5, 5, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.1
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    color = torch.tensor([0.95, 0.2, 0.4])[:channels].view(1, channels, 1, 1)
    smooth[:, :, size // 5 : size // 2, size // 4 : 3 * size // 4] = color
    return (smooth * 255).round().to(torch.uint8).contiguous(memory_format=torch.channels_last)


def repeated(image: Tensor, count: int) -> Tensor:
    """Return a batch of one picture, channels-last like the batches of a loader."""
    return image.repeat(count, 1, 1, 1).contiguous(memory_format=torch.channels_last)


def fake_split(count: int, size: int = 12, channels: int = 1, num_classes: int = 3) -> Split:
    """Return a split of random images. The value of the first pixel of image i is i."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8, generator=generator)
    images[:, 0, 0, 0] = torch.arange(count)
    labels = torch.arange(count) % num_classes
    return Split("train", meta(size, channels, 0.4, 0.3, num_classes), torch.arange(count) * 2, labels, images)


SIMCLR = [
    step("RandomResizedCrop", scale=[0.08, 1.0], ratio=[0.75, 1.333]),
    step("HorizontalFlip", 0.5),
    step("ColorJitter", 0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    step("ToGray", 0.2),
    step("GaussianBlur", 0.5, sigma_limit=[0.1, 2.0]),
]
AFFINE = step("Affine", 0.8, rotate=[-20.0, 40.0], scale=[0.7, 1.2], translate_percent=[-0.2, 0.1], shear=[-5.0, 15.0])
PIPELINES: dict[str, list[Transform]] = {
    "RandomResizedCrop": [step("RandomResizedCrop", scale=[0.2, 1.0], ratio=[0.75, 1.333])],
    "RandomResizedCrop, sometimes": [step("RandomResizedCrop", 0.5, scale=[0.2, 0.4], ratio=[1.0, 2.0])],
    "RandomResizedCrop, that does not fit": [step("RandomResizedCrop", scale=[0.9, 1.0], ratio=[1.5, 2.0])],
    "HorizontalFlip": [step("HorizontalFlip", 0.3)],
    "VerticalFlip": [step("VerticalFlip", 0.7)],
    "RandomRotate90": [step("RandomRotate90", 0.8)],
    "Affine": [AFFINE],
    "ColorJitter": [step("ColorJitter", 0.8, brightness=0.6, contrast=0.6, saturation=0.8, hue=0.2)],
    "ColorJitter, brightness": [step("ColorJitter", brightness=0.8, contrast=0.0, saturation=0.0, hue=0.0)],
    "ColorJitter, contrast": [step("ColorJitter", brightness=0.0, contrast=0.9, saturation=0.0, hue=0.0)],
    "ColorJitter, saturation": [step("ColorJitter", brightness=0.0, contrast=0.0, saturation=0.9, hue=0.0)],
    "ColorJitter, hue": [step("ColorJitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.5)],
    "ToGray": [step("ToGray", 0.4)],
    "GaussianBlur": [step("GaussianBlur", 0.7, sigma_limit=[0.1, 2.5])],
    "Solarize": [step("Solarize", 0.6, threshold_range=[0.3, 0.9])],
    "SimCLR": SIMCLR,
    "two that interpolate": [
        step("VerticalFlip", 0.5),
        step("RandomResizedCrop", scale=[0.2, 1.0], ratio=[0.75, 1.333]),
        step("RandomRotate90"),
        AFFINE,
    ],
}
"""Every transform of the batched engine, and combinations."""
