"""The batched engine: whole uint8 batches in torch, on the CPU or a GPU. All random numbers are drawn on the CPU."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from fkt.data.keys import keyed_generator
from fkt.data.meta import Meta
from fkt.data.normalize import normalize
from fkt.params import Transform
from fkt.params.augment import GaussianBlur, Solarize
from fkt.views.geometry import GEOMETRIC, Sampling, geometric_passes
from fkt.views.object_crops import ObjectCrops
from fkt.views.photometric import COLOR, Blur, ColorChanges, Solarization

CHUNK_VALUES = 2**19
"""Size of a chunk on the CPU: 2 MiB of float32, so that it stays in the cache from one operation to the next."""


class Pass(Protocol):
    """One pass over the images, for one step of the pipeline or several."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, K) float32 on the CPU: all random numbers of this pass, one row per image."""
        ...

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Return the changed images.

        images: (B, C, H, W) uint8, or float32 in [0, 255], which may be overwritten; drawn: (B, K) on their device;
        host: the same numbers on the CPU, so that a selection of images does not wait for the GPU.
        """
        ...


SINGLE: dict[type[Transform], Callable[[Any, int], Pass]] = {
    GaussianBlur: Blur,
    Solarize: Solarization,
}
"""Pass of each step that is not combined with others, built from the step and the image size."""


class BatchedPipeline:
    """A pipeline of the batched engine."""

    def __init__(self, steps: Sequence[Transform], meta: Meta, crops: ObjectCrops | None = None) -> None:
        """crops: the choice among several draws of the first step, which is then a crop; None = off."""
        self.passes = plan(steps, meta)
        self.meta = meta
        self.crops = crops

    @torch.no_grad()
    def __call__(
        self, images: Tensor, *key: int | str, index: Tensor | None = None, rows: slice = slice(None)
    ) -> Tensor:
        """Return one view of each image.

        images: (B, C, H, W) uint8; index: (B,) positions of the images in the train split, needed only with crops.
        rows: if the images are only these rows of a batch whose positions are ``index``; their views are those that
        they have in the whole batch.
        Returns (B, C, H, W) float32, normalized, channels-last, on the same device. The same key gives the same views
        of the same batch in every process and on every device.
        """
        # The precision of the network does not apply to the views.
        with torch.autocast("cpu", enabled=False), torch.autocast(images.device.type, enabled=False):
            generator = keyed_generator(*key)
            count = len(images) if index is None else len(index)
            hosts = [one.draw(count, generator) for one in self.passes]
            if self.crops is not None:  # after all other draws, so that a view with a good first crop does not change
                crop = self.passes[0]
                assert isinstance(crop, Sampling) and index is not None
                hosts[0] = self.crops.choose(crop, hosts[0], index, generator)
            return self._apply(images, [host[rows] for host in hosts])

    def _apply(self, images: Tensor, hosts: Sequence[Tensor]) -> Tensor:
        """Apply the passes with the numbers that they drew, in chunks on the CPU."""
        drawn = torch.cat([torch.empty(len(images), 0), *hosts], dim=1).to(images.device)  # one transfer for all
        numbers = torch.split(drawn, [host.shape[1] for host in hosts], dim=1)
        chunk = max(1, CHUNK_VALUES // images[0].numel()) if images.device.type == "cpu" else len(images)
        views = torch.empty(images.shape, device=images.device, memory_format=torch.channels_last)
        for start in range(0, len(images), chunk):
            rows = slice(start, start + chunk)
            part = images[rows]
            for one, its, host in zip(self.passes, numbers, hosts, strict=True):
                part = one.apply(part, its[rows], host[rows])
            views[rows] = normalize(part, self.meta.mean, self.meta.std)
        return views


def plan(steps: Sequence[Transform], meta: Meta) -> list[Pass]:
    """Return as few passes as possible that give the same views as the steps."""
    passes: list[Pass] = []
    for kind, group in groupby(steps, key=_kind):
        members = list(group)
        if kind == "geometry":
            passes += geometric_passes(members, meta.image_size)
        elif kind == "color":
            passes.append(ColorChanges(members, meta.channels))
        else:
            passes += [SINGLE[type(step)](step, meta.image_size) for step in members]
    return passes


def _kind(step: Transform) -> str:
    return "geometry" if isinstance(step, GEOMETRIC) else "color" if isinstance(step, COLOR) else "single"
