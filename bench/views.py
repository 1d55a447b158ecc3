"""``python -m bench.views``: SimCLR views on one core, with both engines, with torchvision and with kornia.

The views are a crop, a flip, color jitter and gray; at 224 pixels also blur. All libraries start from the same uint8
images in memory, return normalized float32, and take turns in one process with one thread. Only the ratios are
meaningful, because they depend least on the load of the machine.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.harness import JITTER, crop, interleaved
from fkt.data.meta import Meta
from fkt.params import Augment
from fkt.views.pipeline import build_pipeline

MEAN, STD = [0.5] * 3, [0.25] * 3
BLUR = {"name": "GaussianBlur", "sigma_limit": [0.1, 2.0], "p": 0.5}
COUNTS = {32: 512, 224: 16}
"""Images in a batch for each image size."""


def ours(engine: str, size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes one view of each image with one of our engines. Each call has a new key."""
    steps = [crop(0.08), *JITTER, *([BLUR] if size > 32 else [])]
    augment = Augment.model_validate(
        {"engine": engine, "object_share": 0.0, "good_crops": 1.0, "views": steps, "labelled": []}
    )
    pipeline = build_pipeline(augment.views, augment.engine, Meta("noise", ["0"], size, 3, {}, MEAN, STD))
    calls = iter(range(10**9))
    return lambda: pipeline(images, "bench", next(calls))


def torchvision_transforms(size: int = 0, smallest: float = 0.08) -> Callable[[Any], Tensor]:
    """Return torchvision's transforms of one PIL image, as in most published code. size=0: no augmentation."""
    from torchvision import transforms as T

    augmentation = [
        T.RandomResizedCrop(size, (smallest, 1.0)),
        T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        T.RandomGrayscale(0.2),
        *([T.RandomApply([T.GaussianBlur(15, (0.1, 2.0))], 0.5)] if size > 32 else []),
    ]
    return T.Compose([*(augmentation if size else []), T.ToTensor(), T.Normalize(MEAN, STD)])


def torchvision_pil(size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes one view of each image with torchvision, image by image."""
    from torchvision.transforms.functional import to_pil_image

    pictures, transform = [to_pil_image(image) for image in images], torchvision_transforms(size)
    return lambda: torch.stack([transform(picture) for picture in pictures])


def kornia_batched(size: int, images: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes one view of each image with kornia, on the whole batch."""
    from kornia import augmentation as K

    sequence = K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        *([K.RandomGaussianBlur((15, 15), (0.1, 2.0), p=0.5)] if size > 32 else []),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    return lambda: sequence(images.float() / 255)


def compare(size: int, rounds: int) -> None:
    """Print the views per second of each library, and the speed of our engines relative to it."""
    count = COUNTS[size]
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
    parser.add_argument("--rounds", type=int, default=9, help="turns of each library; the median is printed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for side in COUNTS:
        compare(side, options.rounds)
