"""The albumentations engine: image by image, any transform of that library, each image with its own key.

As it comes, albumentations 2.0.8 repeats one stream of random numbers in every worker and epoch, and its seeding of a
Compose gives every transform the same stream: two flips of probability 0.5 then always happen together. Here all
transforms of a pipeline draw from one pair of generators, which is set anew before every image.
"""

from __future__ import annotations

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

Image = NDArray[np.uint8]


class AlbumentationsPipeline:
    """A pipeline of the albumentations engine; see ``fkt.views.pipeline.Pipeline``."""

    def __init__(self, steps: Sequence[Transform], meta: Meta) -> None:
        """Build the transforms and try each on a blank image of the size and channels in ``meta``.

        Raises ParamsError for a transform that fails on it, or that changes its size, channels or type.
        """
        self.steps = [step for step in steps if meta.channels == 3 or not isinstance(step, ToGray)]
        self.meta = meta
        self._python, self._bits = random.Random(), np.random.PCG64()  # noqa: S311 - not for secrets
        generator = np.random.Generator(self._bits)
        self._transforms = [build_foreign(_completed(step, meta)) for step in self.steps]
        for step, transform in zip(self.steps, self._transforms, strict=True):
            transform.set_random_state(generator, self._python)
            _check(step, transform, meta)
        if self.steps:
            import cv2

            cv2.setNumThreads(0)  # its pool neither pays for one small image nor survives a fork

    def __reduce__(self) -> tuple[type[AlbumentationsPipeline], tuple[list[Transform], Meta]]:
        """Travel to worker processes as the steps alone; random states are set before every image anyway."""
        return type(self), (self.steps, self.meta)

    def __call__(self, images: Tensor, *key: int | str, masks: Tensor | None = None) -> Tensor:
        """Return one normalized view of each image; see ``fkt.views.pipeline.Pipeline``."""
        return normalize(self.augment(images, *key), self.meta.mean, self.meta.std)

    def augment(self, images: Tensor, *key: int | str) -> Tensor:
        """Return one view of each of the images (B, C, H, W) uint8, as they are stored: uint8, channels-last."""
        if not self.steps:
            return images
        inputs: Image = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
        views = np.empty_like(inputs)
        for position, image in enumerate(inputs):
            self._seed(key_seed(*key, position))
            for transform in self._transforms:
                image = transform(image=image)["image"]
            views[position] = image.reshape(views.shape[1:])
        return torch.from_numpy(views).to(images.device).permute(0, 3, 1, 2)

    def _seed(self, seed: int) -> None:
        """Set what the transforms draw from; costs less than half of what new generators would."""
        self._python.seed(seed)
        state: Any = {"state": seed << 64 | seed, "inc": 1}
        self._bits.state = {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}


def _completed(step: Transform, meta: Meta) -> Foreign:
    """Add the arguments that params.yaml leaves out: those that follow from the images or from the vocabulary."""
    added: dict[str, Any] = {}
    match step:
        case RandomResizedCrop():
            added = {"size": (meta.image_size, meta.image_size)}
        case Affine():
            added = {"keep_ratio": True, "fill": 0}
        case GaussianBlur():
            added = {"blur_limit": 0}  # sigma alone rules
        case ToGray():
            added = {"num_output_channels": meta.channels}
    return Foreign(name=step.name, **step.arguments(), **added)


def _check(step: Transform, transform: Any, meta: Meta) -> None:  # noqa: ANN401 - see build_foreign
    """Run one transform on a blank image, whatever its probability."""
    size, channels = meta.image_size, meta.channels
    what = f"augment: {step.name}"
    blank: Image = np.zeros((size, size, channels), dtype=np.uint8)
    try:
        result = transform(image=blank, force_apply=True)["image"]
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ParamsError(
            f"{what} fails on images of {size} x {size} pixels with {channels} channels ({reason}); leave it out"
        ) from error
    if result.dtype != np.uint8 or result.shape[:2] != (size, size) or result.size != blank.size:
        raise ParamsError(
            f"{what} makes {result.dtype} {result.shape} of uint8 {blank.shape}; leave it out, or give arguments that "
            "keep the images' size and type (they are normalized after all steps)"
        )
