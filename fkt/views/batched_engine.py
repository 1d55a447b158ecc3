"""The batched engine: whole uint8 batches in torch, on the CPU or a GPU, with all random numbers drawn on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

import torch
from torch import Generator, Tensor

from fkt.data.keys import keyed_generator
from fkt.data.meta import Meta
from fkt.data.normalize import normalize
from fkt.params import Transform
from fkt.params.augment import Erasing, GaussianBlur, GaussNoise, Solarize
from fkt.views.color import COLOR, ColorChanges
from fkt.views.geometry import GEOMETRIC, Interpolating, PixelMoves, Sampling, split_runs
from fkt.views.good_crops import DRAWS, good_draws, object_share
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

    def __init__(self, steps: Sequence[Transform], meta: Meta, least_share: float = 0.0) -> None:
        """Plan the passes for images of the size and channels in ``meta``.

        least_share: above 0, what a crop is to hold of the object, or it is drawn anew; steps begin with the crop.
        """
        self.passes = plan(steps, meta)
        self.meta = meta
        self.least_share = least_share

    @torch.no_grad()
    def __call__(self, images: Tensor, *key: int | str, masks: Tensor | None = None) -> Tensor:
        """Return one normalized view of each image; see ``fkt.views.pipeline.Pipeline``."""
        # Views are exact whatever the network around them computes in.
        with torch.autocast("cpu", enabled=False), torch.autocast(images.device.type, enabled=False):
            hosts, again = self._draw(len(images), *key)
            return self._apply(images, hosts, again, masks)

    def crop_shares(self, masks: Tensor, *key: int | str) -> tuple[Tensor, Tensor]:
        """Return how much of its object each view of a key holds in its crop, as first drawn and as it is kept.

        masks: (B, H, W). Returns two (B,) float64 tensors in [0, 1]; see ``fkt.views.good_crops``.
        """
        hosts, again = self._draw(len(masks), *key)
        draws = torch.stack([hosts[0], *again]).to(masks.device)
        crop = self._crop()
        first, kept = [], []
        step = max(1, CHUNK_VALUES // masks[0].numel())  # shares are sums of float64, eight times the masks
        for some, its in zip(masks.split(step), draws.split(step, dim=1), strict=True):
            first.append(object_share(some, crop.boxes(its[0])))
            kept.append(object_share(some, crop.boxes(self._good(its, some))))
        return torch.cat(first), torch.cat(kept)

    def _draw(self, count: int, *key: int | str) -> tuple[list[Tensor], list[Tensor]]:
        """Draw the numbers of each pass, and further crops to choose from where crops are judged."""
        generator = keyed_generator(*key)
        hosts = [one.draw(count, generator) for one in self.passes]
        # After all others: a view whose first crop is good is the one that it would be if none were judged.
        further = self.passes[0].draw((DRAWS - 1) * count, generator).split(count) if self.least_share else []
        return hosts, list(further)

    def _apply(self, images: Tensor, hosts: Sequence[Tensor], again: Sequence[Tensor], masks: Tensor | None) -> Tensor:
        """Send the images through the passes, in chunks on the CPU.

        hosts: what each pass has drawn; again: what else the first one has, to choose from by the masks.
        """
        everything = [*hosts, *again]
        drawn = torch.cat([torch.empty(len(images), 0), *everything], dim=1).to(images.device)  # one transfer for all
        parts = torch.split(drawn, [host.shape[1] for host in everything], dim=1)
        numbers = list(parts[: len(hosts)])
        if again:
            numbers[0] = self._good(torch.stack([numbers[0], *parts[len(hosts) :]]), masks)
        chunk = max(1, CHUNK_VALUES // images[0].numel()) if images.device.type == "cpu" else len(images)
        views = torch.empty(images.shape, device=images.device, memory_format=torch.channels_last)
        for start in range(0, len(images), chunk):
            rows = slice(start, start + chunk)
            part = images[rows]
            for one, its, host in zip(self.passes, numbers, hosts, strict=True):
                part = one.apply(part, its[rows], host[rows])
            views[rows] = normalize(part, self.meta.mean, self.meta.std)
        return views

    def _good(self, draws: Tensor, masks: Tensor | None) -> Tensor:
        """Choose among (T, B, 10) draws of the crop; its pass, Sampling, reads no number of the host."""
        assert masks is not None, "where crops are judged, every call is given masks"
        exact = draws.device if draws.device.type == "cuda" else torch.device("cpu")  # the others have no float64
        draws = draws.to(exact)
        return good_draws(draws, self._crop().boxes(draws), masks.to(exact), self.least_share).to(masks.device)

    def _crop(self) -> Sampling:
        crop = self.passes[0]
        assert isinstance(crop, Sampling), "params let object_share be set only where views begin with a crop"
        return crop


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
