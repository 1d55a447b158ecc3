"""The batched engine: whole uint8 batches in torch, on the CPU or a GPU, with all random numbers drawn on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

import torch
from torch import Generator, Tensor

from fkt.data.keys import keyed_generator
from fkt.data.normalize import normalize
from fkt.data.store import Meta
from fkt.params import Transform
from fkt.params.augment import Erasing, GaussianBlur, GaussNoise, Solarize
from fkt.views.color import COLOR, ColorChanges
from fkt.views.geometry import GEOMETRIC, Interpolating, PixelMoves, Sampling, split_runs
from fkt.views.pixel import Blur, Erasure, Noise, Solarization

CHUNK_VALUES = 2**19
"""Values of a chunk on the CPU: 2 MiB of float32, so that the next operation finds them in the cache."""


class Pass(Protocol):
    """One sweep over the images, for one step of the pipeline or several."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return (count, K) float32 numbers on the CPU: all that is random about this pass, one row an image."""
        ...

    def apply(self, images: Tensor, drawn: Tensor, host: Tensor) -> Tensor:
        """Return the images, changed.

        images: (B, C, H, W) uint8, or float32 in [0, 255] which may be overwritten; drawn: (B, K) beside them;
        host: the same numbers on the CPU, so that a choice of images does not wait for the GPU.
        """
        ...


class BatchedPipeline:
    """A pipeline of the batched engine; see ``fkt.views.pipeline.Pipeline``."""

    def __init__(self, steps: Sequence[Transform], meta: Meta) -> None:
        """Plan the passes for images of the size and channels in ``meta``."""
        self.passes = plan(steps, meta)
        self.meta = meta

    @torch.no_grad()
    def __call__(self, images: Tensor, *key: int | str) -> Tensor:
        """Return one normalized view of each image; see ``fkt.views.pipeline.Pipeline``."""
        # Views are exact whatever the network around them computes in.
        with torch.autocast("cpu", enabled=False), torch.autocast(images.device.type, enabled=False):
            generator = keyed_generator(*key)
            return self._apply(images, [one.draw(len(images), generator) for one in self.passes])

    def _apply(self, images: Tensor, hosts: Sequence[Tensor]) -> Tensor:
        """Send the images through the passes, in chunks on the CPU; hosts: what each pass has drawn."""
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
    """Turn steps into as few passes as give the same views."""
    passes: list[Pass] = []
    for kind, group in groupby(steps, key=_kind):
        members = list(group)
        match kind:
            case "geometry":
                passes.extend(_geometry(run, meta) for run in split_runs(members))
            case "color":
                passes.append(ColorChanges(members, meta.channels))
            case _:
                passes.extend(_single(step, meta) for step in members)
    return passes


def _kind(step: Transform) -> str:
    return "geometry" if isinstance(step, GEOMETRIC) else "color" if isinstance(step, COLOR) else "single"


def _geometry(run: list[Transform], meta: Meta) -> Pass:
    if any(isinstance(step, Interpolating) for step in run):
        return Sampling(run, meta.image_size)
    return PixelMoves(run)


def _single(step: Transform, meta: Meta) -> Pass:
    match step:
        case GaussianBlur():
            return Blur(step, meta.image_size)
        case Solarize():
            return Solarization(step)
        case GaussNoise():
            return Noise(step)
        case Erasing():
            return Erasure(step, meta.image_size)
        case _:
            raise AssertionError(f"{step.name} is refused by fkt.params for this engine")
