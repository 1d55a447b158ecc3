"""Batches for training, a pure function of (seed, step): the same after a restart and with any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fkt.core.errors import ParamsError
from fkt.data.keys import keyed_generator
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.views.albumentations_engine import AlbumentationsPipeline
from fkt.views.pipeline import Pipeline
from fkt.views.workers import made_ahead


@dataclass(frozen=True)
class Views:
    """Augmented views of one batch of training images, and what a method may know of those images."""

    images: tuple[Tensor, ...]
    """V tensors (B, C, H, W), float32, normalized, channels-last; row i of each comes from image i."""
    labels: Tensor
    """(B,) int64; -1 where the method may not know the label."""
    ids: Tensor
    """(B,) int64: positions of the images in the training split."""
    key: tuple[int | str, ...]
    """What a method's own draws for this batch are keyed by."""

    def generator(self, what: str) -> torch.Generator:
        """Return a CPU generator for one of a method's draws; the same for the same step, whatever came before."""
        return keyed_generator(*self.key, what)


@dataclass(frozen=True)
class Batch:
    """What one training step sees. Images are float32 (B, C, H, W), normalized, channels-last."""

    views: Views | None
    """Views of B training images, labelled or not; None where the run has no SSL."""
    images: Tensor | None
    """B labelled images, or None."""
    labels: Tensor
    """(B,) int64, for cross-entropy: of ``images``, or where there are none of the images that ``views`` show; -1 where
    the label is not in the label budget."""


class Loader:
    """Two independent streams: views of all training images, and labelled images.

    Views: each epoch is a permutation of the split, cut into full batches; what is left over differs by epoch.
    Labelled images: permutations of the labelled positions one after another, cut into batches; a label budget
    smaller than the batch fills it by repetition, each time with new random numbers.
    """

    def __init__(
        self,
        split: Split,
        labelled: Tensor,
        *,
        ssl_labelled: Tensor,
        num_views: int,
        views: Pipeline,
        images: Pipeline | None,
        batch_size: int,
        seed: int,
        device: torch.device | None = None,
        judged: Tensor | None = None,
    ) -> None:
        """Take the train split and the positions (M,) in it whose labels cross-entropy may see.

        ssl_labelled: the positions whose labels an SSL method may see; num_views: 0 leaves out the views; images: None
        leaves out the labelled images; device: where batches go, by default where the split's images are; judged: the
        positions whose crops are judged by the split's masks, None where none are. Raises ParamsError where the split
        cannot fill a batch of views, or where there are no labelled images to give.
        """
        if num_views and batch_size > len(split):
            raise ParamsError(
                f"batch_size: {batch_size} is more than the {len(split)} training images; give at most {len(split)}"
            )
        if images is not None and len(labelled) == 0:
            raise ParamsError("labels: no training image is labelled; raise per_class or fraction")
        self.device = device or split.device
        self.on_host = any(isinstance(one, AlbumentationsPipeline) for one in (views, images))
        self.split = split.to("cpu") if self.on_host else split
        self.labelled = labelled.cpu()
        self.known, self.ssl_known = _known(split, self.labelled), _known(split, ssl_labelled.cpu())
        self.judged = None if judged is None else torch.isin(torch.arange(len(split)), judged.cpu())
        self.num_views, self.views, self.images = num_views, views, images
        self.batch_size, self.seed = batch_size, seed
        self._orders: dict[str, tuple[int, Tensor]] = {}

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which each image is seen about once: of the views' stream if there is one, else of the labelled."""
        if self.num_views:
            return float(len(self.split) // self.batch_size)
        return len(self.labelled) / self.batch_size

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        return self._finished(self._augmented(step))

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps start ... stop - 1; albumentations runs ahead in FKT_WORKERS processes."""
        if not self.on_host:
            yield from map(self.batch, range(start, stop))
            return
        yield from map(self._finished, made_ahead(self._augmented, range(start, stop)))

    def _augmented(self, step: int) -> Batch:
        """Return the batch of a step; albumentations' part still uint8 on the CPU, a quarter of the bytes to move."""
        views = images = None
        index = torch.zeros(0, dtype=torch.int64)
        if self.num_views:
            index = self._view_index(step)
            stored, masks = self._stored(index), self._masks(index)
            keys = [(self.seed, "view", view, step) for view in range(self.num_views)]
            augmented = tuple(_augment(self.views, stored, masks, *key) for key in keys)
            views = Views(augmented, self.ssl_known[index], index, (self.seed, "method", step))
        if self.images is not None:
            index = self._labelled_index(step)
            images = _augment(self.images, self._stored(index), self._masks(index), self.seed, "image", step)
        return Batch(views, images, self.known[index])

    def _finished(self, batch: Batch) -> Batch:
        """Move a batch to its device and normalize what is not."""
        views = batch.views
        if views is not None:
            moved = tuple(self._normalized(view) for view in views.images)
            views = Views(moved, views.labels.to(self.device), views.ids.to(self.device), views.key)
        return Batch(
            views,
            None if batch.images is None else self._normalized(batch.images),
            batch.labels.to(self.device),
        )

    def _normalized(self, images: Tensor) -> Tensor:
        images = images.to(self.device)
        meta = self.split.meta
        return normalize(images, meta.mean, meta.std) if images.dtype == torch.uint8 else images

    def _stored(self, index: Tensor) -> Tensor:
        images = self.split.images(index)
        return images if self.on_host else images.to(self.device)

    def _masks(self, index: Tensor) -> Tensor | None:
        """Return the masks of images, empty ones for those that are not judged: their crops stay as they are drawn."""
        if self.judged is None:
            return None
        masks = self.split.masks(index).to(self.device)
        return masks * self.judged[index].to(self.device)[:, None, None]

    def _view_index(self, step: int) -> Tensor:
        epoch, at = divmod(step, len(self.split) // self.batch_size)
        return self._order("view", epoch, len(self.split))[at * self.batch_size : (at + 1) * self.batch_size]

    def _labelled_index(self, step: int) -> Tensor:
        parts, at, stop = [], step * self.batch_size, (step + 1) * self.batch_size
        while at < stop:
            epoch, begin = divmod(at, len(self.labelled))
            part = self._order("image", epoch, len(self.labelled))[begin : begin + stop - at]
            parts.append(part)
            at += len(part)
        return self.labelled[torch.cat(parts)]

    def _order(self, stream: str, epoch: int, count: int) -> Tensor:
        """Return the permutation of an epoch, kept until another one is asked for."""
        if self._orders.get(stream, (-1,))[0] != epoch:
            generator = keyed_generator(self.seed, "order", stream, epoch)
            self._orders[stream] = epoch, torch.randperm(count, generator=generator)
        return self._orders[stream][1]


def _known(split: Split, positions: Tensor) -> Tensor:
    """Return the labels (N,) of a split, -1 outside of the positions."""
    return torch.full((len(split),), -1).index_copy_(0, positions, split.labels.cpu()[positions])


def _augment(pipeline: Pipeline, images: Tensor, masks: Tensor | None, *key: int | str) -> Tensor:
    if isinstance(pipeline, AlbumentationsPipeline):
        return pipeline.augment(images, *key)
    return pipeline(images, *key, masks=masks)
