"""The albumentations engine: image by image, any transform of that library, one key per image.

By default, albumentations 2.0.8 repeats one stream of random numbers in every worker and epoch. If a Compose is seeded,
every transform in it gets the same stream, so that two flips of probability 0.5 always happen together. Here all
transforms of a pipeline draw from one pair of generators, which is seeded again before every image.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import ParamsError
from fkt.data.keys import key_seed
from fkt.data.meta import Meta
from fkt.data.normalize import normalize
from fkt.params import Foreign, Transform
from fkt.params.augment import Affine, GaussianBlur, RandomResizedCrop, ToGray, build_foreign


class AlbumentationsPipeline:
    """A pipeline of the albumentations engine."""

    def __init__(self, steps: Sequence[Transform], meta: Meta) -> None:
        """Build the transforms, and try each on a blank image of the size and channels in ``meta``.

        Raises ParamsError if a transform fails on that image, or changes its size, channels or type.
        """
        self.steps = [step for step in steps if meta.channels == 3 or not isinstance(step, ToGray)]
        self.meta = meta
        self._python, self._bits = random.Random(), np.random.PCG64()  # noqa: S311 - not for secrets
        generator = np.random.Generator(self._bits)
        self._transforms = [build_foreign(_with_defaults(step, meta)) for step in self.steps]
        for step, transform in zip(self.steps, self._transforms, strict=True):
            transform.set_random_state(generator, self._python)
            _check(step, transform, meta)
        if self.steps:
            import cv2

            cv2.setNumThreads(0)  # OpenCV's threads do not help with one small image, and do not survive a fork

    def __reduce__(self) -> tuple[type["AlbumentationsPipeline"], tuple[list[Transform], Meta]]:
        """Pickle only the steps. The random state is set before every image anyway."""
        return type(self), (self.steps, self.meta)

    def __call__(self, images: Tensor, *key: int | str, index: Tensor | None = None) -> Tensor:
        """Return one normalized view of each image; see ``fkt.views.batched_engine.BatchedPipeline``."""
        return normalize(self.augment(images, *key), self.meta.mean, self.meta.std)

    def augment(self, images: Tensor, *key: int | str, first: int = 0) -> Tensor:
        """Return one view of each image (B, C, H, W) without normalization: uint8, channels-last.

        first: row of the first image in its batch, if the images are a part of one.
        """
        if not self.steps:
            return images
        inputs: NDArray[np.uint8] = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
        views = np.empty_like(inputs)
        for position, image in enumerate(inputs):
            self._seed(key_seed(*key, first + position))
            for transform in self._transforms:
                image = transform(image=image)["image"]
            views[position] = image.reshape(views.shape[1:])
        return torch.from_numpy(views).to(images.device).permute(0, 3, 1, 2)

    def _seed(self, seed: int) -> None:
        """Seed both generators. This costs less than half of creating new ones."""
        self._python.seed(seed)
        state: Any = {"state": seed << 64 | seed, "inc": 1}
        self._bits.state = {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}


def _with_defaults(step: Transform, meta: Meta) -> Foreign:
    """Add the arguments that are not in params.yaml."""
    added: dict[str, Any] = {}
    match step:
        case RandomResizedCrop():
            added = {"size": (meta.image_size, meta.image_size)}
        case Affine():
            added = {"keep_ratio": True, "fill": 0}
        case GaussianBlur():
            added = {"blur_limit": 0}  # the kernel size follows from sigma
        case ToGray():
            added = {"num_output_channels": meta.channels}
    return Foreign(name=step.name, **step.arguments(), **added)


def _check(step: Transform, transform: Any, meta: Meta) -> None:  # noqa: ANN401 - see build_foreign
    """Apply one transform to a blank image, whatever its probability."""
    size, channels = meta.image_size, meta.channels
    blank = np.zeros((size, size, channels), dtype=np.uint8)
    try:
        result = transform(image=blank, force_apply=True)["image"]
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ParamsError(
            f"augment: {step.name} fails on images of {size} x {size} pixels with {channels} channels ({reason}); "
            "remove it"
        ) from error
    if result.dtype != np.uint8 or result.shape[:2] != (size, size) or result.size != blank.size:
        raise ParamsError(
            f"augment: {step.name} turns images of {blank.dtype} {blank.shape} into {result.dtype} {result.shape}; "
            "remove it, or give arguments that keep the size and the type (images are normalized after all steps)"
        )
