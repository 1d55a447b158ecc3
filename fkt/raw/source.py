"""Raw images as every reader hands them over: listed and labelled, not yet decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.data.meta import SplitName
from fkt.raw.decode import as_channels

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Raw:
    """The N images of a source; an image is read only when ``load`` is called for it."""

    classes: list[str]
    """Class names; a label is a position in this list."""
    names: Sequence[str]
    """(N,) what an image is called in reports: a path relative to the source, or part and number."""
    labels: NDArray[np.int64]
    """(N,)."""
    parts: NDArray[np.str_]
    """(N,) which of the source's own splits an image belongs to: train, val or test."""
    load: Callable[[int, int], Pixels]
    """(position, channels) -> (H, W, channels) uint8; raises Unreadable. Called from several threads."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What reading noticed."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


def from_arrays(classes: Sequence[str], arrays: Mapping[SplitName, tuple[Pixels, NDArray[Any]]]) -> Raw:
    """Build a Raw from one (images, labels) pair for each part; images (N, H, W) or (N, H, W, 3) uint8."""
    where = [(images, position) for images, _ in arrays.values() for position in range(len(images))]

    def load(index: int, channels: int) -> Pixels:
        images, position = where[index]
        return as_channels(images[position], channels)

    return Raw(
        classes=[str(name) for name in classes],
        names=[f"{part}/{position}" for part, (images, _) in arrays.items() for position in range(len(images))],
        labels=np.concatenate([np.asarray(labels, dtype=np.int64) for _, labels in arrays.values()]),
        parts=np.repeat(list(arrays), [len(images) for images, _ in arrays.values()]),
        load=load,
    )
