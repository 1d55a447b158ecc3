"""``python -m bench.views``: SimCLR views on one core, ours in both engines against torchvision and kornia.

At 32 px a crop, a flip, color jitter and gray; at 224 px also blur. Every way starts from the same uint8 images in
memory, ends in normalized float32, and takes turns with the others in one process of one thread. Only the ratios
mean something: they are what a busy machine changes least.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from bench.timing import interleaved
from fkt.data.meta import Meta
from fkt.params import Augment
from fkt.views.pipeline import build_pipeline

MEAN, STD = [0.5] * 3, [0.25] * 3
STEPS = [
    {"name": "RandomResizedCrop", "scale": [0.08, 1.0], "ratio": [0.75, 1.3333], "p": 1.0},
    {"name": "HorizontalFlip", "p": 0.5},
    {"name": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
    {"name": "ToGray", "p": 0.2},
]
BLUR = {"name": "GaussianBlur", "sigma_limit": [0.1, 2.0], "p": 0.5}
SIZES = {32: (512, STEPS), 224: (16, [*STEPS, BLUR])}
"""Images a batch, and the steps, for each image size."""


def ours(engine: str, size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return one of our two engines as a function that makes one view of each image; each call with a new key."""
    augment = Augment.model_validate(
        {"engine": engine, "object_share": 0.0, "good_crops": 1.0, "views": SIZES[size][1], "labelled": []}
    )
    pipeline = build_pipeline(augment.views, augment.engine, Meta("noise", ["0"], size, 3, {}, MEAN, STD))
    calls = iter(range(10**9))
    return lambda: pipeline(images, "bench", next(calls))


def torchvision_pil(size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return torchvision's transforms on PIL images, one by one, as most published code has them."""
    from torchvision import transforms
    from torchvision.transforms.functional import to_pil_image

    pictures = [to_pil_image(image) for image in images]
    steps = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        transforms.RandomGrayscale(0.2),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    if size > 32:
        steps.insert(4, transforms.RandomApply([transforms.GaussianBlur(15, (0.1, 2.0))], 0.5))
    compose = transforms.Compose(steps)
    return lambda: torch.stack([compose(picture) for picture in pictures])


def kornia_batched(size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return kornia's transforms of whole batches."""
    from kornia import augmentation

    steps = [
        augmentation.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
        augmentation.RandomHorizontalFlip(p=0.5),
        augmentation.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        augmentation.RandomGrayscale(p=0.2),
        augmentation.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ]
    if size > 32:
        steps.insert(4, augmentation.RandomGaussianBlur((15, 15), (0.1, 2.0), p=0.5))
    sequence = augmentation.AugmentationSequential(*steps)
    return lambda: sequence(images.float() / 255)


def compare(size: int, rounds: int) -> None:
    """Print views per second of each way, and how many times ours are as fast."""
    count = SIZES[size][0]
    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    ways = {
        "ours, batched": ours("batched", size, images),
        "ours, albumentations": ours("albumentations", size, images),
        "torchvision, PIL": torchvision_pil(size, images),
        "kornia": kornia_batched(size, images),
    }
    rates = {name: count / seconds for name, seconds in interleaved(ways, rounds).items()}
    print(f"{size} px, batches of {count}, one thread:")
    print(f"  {'':22s} {'views/s':>9s} {'batched is':>12s} {'albumentations is':>19s}")
    for name, rate in rates.items():
        batched, single = rates["ours, batched"] / rate, rates["ours, albumentations"] / rate
        print(f"  {name:22s} {rate:9.0f} {batched:11.2f}x {single:18.2f}x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each way; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for side in SIZES:
        compare(side, options.rounds)
