"""Training batches, a pure function of (seed, step): the same after a restart and with any number of workers."""

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fkt.core import ranks
from fkt.core.errors import ParamsError
from fkt.core.hardware import requested_workers, usable_cores
from fkt.data.keys import keyed_generator
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.views.albumentations_engine import AlbumentationsPipeline
from fkt.views.pipeline import Pipeline

T = TypeVar("T")


@dataclass(frozen=True)
class Views:
    """Augmented views of one batch of training images, and what an SSL method may know about these images."""

    images: tuple[Tensor, ...]
    """V tensors (B, C, H, W), float32, normalized, channels-last. Row i of each is a view of image i. With several
    processes only the rows of this one: the backbone returns the features of all B images; see fkt.core.ranks."""
    labels: Tensor
    """(B,) int64; -1 if the method may not know the label."""
    ids: Tensor
    """(B,) int64: positions of the images in the train split."""
    key: tuple[int | str, ...]
    """Key of the method's own random draws for this batch."""

    def generator(self, what: str) -> torch.Generator:
        """Return a CPU generator for one kind of random draw of a method. It depends on the step and this name."""
        return keyed_generator(*self.key, what)


@dataclass(frozen=True)
class Batch:
    """The input of one training step. Images are float32 (B, C, H, W), normalized, channels-last."""

    views: Views | None
    """Views of B training images, labelled or not; None if the run has no SSL."""
    images: Tensor | None
    """B labelled images, or None. With several processes only those of this one."""
    labels: Tensor
    """(B,) int64, for cross-entropy: labels of ``images``, or of the images in ``views`` if ``images`` is None; -1 if
    the label is not in the label budget."""
    has_labels: bool = True
    """Whether a label is in the label budget; known without a look at ``labels`` on the device."""
    step_labels: Tensor | None = None
    """The labels of all parts of the batch, if this is one of several parts."""


class Loader:
    """Two streams: views of all training images, and labelled images.

    Views: each epoch is a permutation of the train split, cut into full batches; each epoch leaves out other images.
    Labelled images: permutations of the labelled positions one after another, cut into batches. If there are fewer
    labelled images than the batch size, a batch repeats them, each time with new random numbers. The streams are
    independent, or the images of the second are the same as those of the views, labelled or not.

    A batch may come in parts, which together are the same batch.
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
        same_images: bool = False,
        batch_size: int,
        parts: int = 1,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        """split: the train split; labelled: (M,) positions of the images whose labels cross-entropy may see.

        ssl_labelled: positions of the images whose labels an SSL method may see; num_views: 0 = no views; views and
        images: pipelines of the two streams; images=None: no labelled images; same_images: the images of the views
        in place of an independent stream; batch_size: of all parts; device: of the batches, by default the split's.
        Raises ParamsError if the split cannot fill a batch of views, if ``images`` has no labelled images, or if the
        processes cannot share a part equally.
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
        self.num_views, self.views, self.images, self.same_images = num_views, views, images, same_images
        self.batch_size, self.parts, self.seed = batch_size, parts, seed
        self.rows = ranks.rows(batch_size // parts)
        self._orders: dict[str, tuple[int, Tensor]] = {}

    def batch(self, number: int) -> Batch:
        """Return a part of a batch. number: step * parts + part, each counted from 0."""
        return self._finished(self._augmented(number))

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps start ... stop - 1, part after part.

        albumentations works ahead in FKT_WORKERS processes.
        """
        numbers = range(start * self.parts, stop * self.parts)
        if self.on_host:
            yield from map(self._finished, made_ahead(self._augmented, numbers))
        else:
            yield from map(self.batch, numbers)

    def _augmented(self, number: int) -> Batch:
        """Return a part of a batch. With albumentations it is on the CPU in uint8: a quarter of the bytes to move."""
        step, part = divmod(number, self.parts)
        size = self.batch_size // self.parts
        here = slice(part * size, (part + 1) * size)
        mine = slice(here.start + self.rows.start, here.start + self.rows.stop)
        views = images = None
        index = torch.zeros(0, dtype=torch.int64)
        if self.num_views:
            index = self._view_index(step)
            keys = [(self.seed, "view", view, step) for view in range(self.num_views)]
            stored = self._stored(index[mine])
            augmented = tuple(self._views(self.views, stored, index, mine, *key) for key in keys)
            ids = index[here]
            views = Views(augmented, self.ssl_known[ids], ids, (self.seed, "method", number))
        if self.images is not None:
            index = index if self.same_images else self._labelled_index(step)
            images = self._views(self.images, self._stored(index[mine]), index, mine, self.seed, "image", step)
        labels = self.known[index]
        step_labels = labels if self.parts > 1 else None
        labels = labels[here]
        return Batch(views, images, labels, bool((labels >= 0).any()), step_labels)

    def _finished(self, batch: Batch) -> Batch:
        """Move a batch to its device, and normalize images that are still uint8."""
        views, images = batch.views, batch.images
        if views is not None:
            moved = tuple(self._normalized(view) for view in views.images)
            views = replace(views, images=moved, labels=views.labels.to(self.device), ids=views.ids.to(self.device))
        images = None if images is None else self._normalized(images)
        step_labels = None if batch.step_labels is None else batch.step_labels.to(self.device)
        return replace(batch, views=views, images=images, labels=batch.labels.to(self.device), step_labels=step_labels)

    def _normalized(self, images: Tensor) -> Tensor:
        images = images.to(self.device)
        meta = self.split.meta
        return normalize(images, meta.mean, meta.std) if images.dtype == torch.uint8 else images

    def _stored(self, index: Tensor) -> Tensor:
        images = self.split.images(index)
        return images if self.on_host else images.to(self.device)

    def _views(self, pipeline: Pipeline, images: Tensor, index: Tensor, rows: slice, *key: int | str) -> Tensor:
        """Return a view of each image; index: of the whole batch; rows: the images in it."""
        if isinstance(pipeline, AlbumentationsPipeline):
            return pipeline.augment(images, *key, first=rows.start)
        return pipeline(images, *key, index=index, rows=rows)

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
        """Return the permutation of an epoch. The last one of each stream is kept."""
        if self._orders.get(stream, (-1,))[0] != epoch:
            generator = keyed_generator(self.seed, "order", stream, epoch)
            self._orders[stream] = epoch, torch.randperm(count, generator=generator)
        return self._orders[stream][1]


def _known(split: Split, positions: Tensor) -> Tensor:
    """Return the labels (N,) of a split, -1 outside of the positions."""
    return torch.full((len(split),), -1).index_copy_(0, positions, split.labels.cpu()[positions])


@dataclass
class _Made(Dataset[T], Generic[T]):
    make: Callable[[int], T]

    def __getitem__(self, number: int) -> T:
        return self.make(number)


def made_ahead(make: Callable[[int], T], numbers: range) -> Iterator[T]:
    """Yield make(number) for each number in order, computed ahead in ``num_workers`` processes.

    make is pickled if processes are not forked, and must not use the device.
    """
    items = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=numbers,
        num_workers=min(num_workers(), len(numbers)),
        worker_init_fn=_start,
        generator=torch.Generator(),  # otherwise the global generator, which belongs to the training
    )
    with warnings.catch_warnings():
        # Python 3.12 warns about every fork of a process with threads. The workers use none of the parent's locks.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        running = iter(items)
    yield from running


def num_workers() -> int:
    """Return FKT_WORKERS; by default the number of cores minus 1, at most 8, or 0 on up to two cores.

    Raises UserError if FKT_WORKERS is not a whole number.
    """
    requested, cores = requested_workers(), usable_cores()
    if requested is not None:
        return requested
    return 0 if cores <= 2 else min(8, cores - 1)


def _start(_worker: int) -> None:
    """Ignore Ctrl-C in a worker: the parent process ends its workers, without a traceback from each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _report_unless_parent_ended


def _report_unless_parent_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print no traceback if the parent process ended while a worker was sending an item."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
