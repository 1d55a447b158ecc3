"""From pixels of any size to squares of one size; albumentations does it, and is imported only where needed."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_RATIO = 8


class SquareFit:
    """Resize the shorter side to ``size``, then cut out the center: (H, W, C) uint8 to (size, size, C).

    Shrinking averages over areas, enlarging is bilinear. An image that already has the size is returned as it is,
    so that a dataset that needs no resizing does not pay two seconds for an import. May be called from threads.
    """

    def __init__(self, size: int) -> None:
        """size: side of the squares in pixels."""
        self.size = size
        self._own = threading.local()  # albumentations keeps the state of a call in the pipeline: one per thread

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fit one image."""
        if image.shape[:2] == (self.size, self.size):
            return image
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = _pipeline(self.size)
        fitted: NDArray[np.uint8] = self._own.pipeline(image=_middle(image))["image"]
        return fitted


def _pipeline(size: int) -> Any:  # noqa: ANN401 - albumentations is imported late and ships no types
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for updates
    import albumentations
    import cv2

    shrink = albumentations.SmallestMaxSize(
        max_size=size, interpolation=cv2.INTER_LINEAR, area_for_downscale="image", p=1.0
    )
    return albumentations.Compose([shrink, albumentations.CenterCrop(size, size, p=1.0)])


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the ends off a very long image: the center crop never sees them, and resized they could fill the memory."""
    height, width = image.shape[:2]
    limit = _MAX_RATIO * min(height, width)
    top, left = max(0, (height - limit) // 2), max(0, (width - limit) // 2)
    return np.ascontiguousarray(image[top : top + limit, left : left + limit])
