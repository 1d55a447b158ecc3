"""A trained model in use: image files to classes. ``from fkt import load`` and ``fkt predict`` use this module."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fkt.core.errors import CheckpointError
from fkt.core.files import one_line
from fkt.core.hardware import pick_device, set_threads, setup_torch
from fkt.core.runs import CHOSEN, MODELS
from fkt.evaluation.files import image_files
from fkt.evaluation.predict import embed, predict
from fkt.models.checkpoint import CARD, Card, load_model
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.raw.datasets import DATASETS
from fkt.raw.pixels import decode_workers
from fkt.raw.source import Pixels, Unreadable, fit_square

BATCH_SIZE = 32
"""Images in a batch, so that a folder of photographs need not fit into memory."""
SHOWN = 20
"""Predictions that are shown where an object is printed."""


@dataclass(frozen=True, repr=False)
class Predictions:
    """The predictions for N image files; those that could not be read are not among them."""

    paths: list[Path]
    classes: list[str]
    """Class names (K)."""
    probabilities: NDArray[np.float32]
    """(N, K)."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Files that could not be read, and why."""

    def __len__(self) -> int:
        """Number of predictions."""
        return len(self.paths)

    def __repr__(self) -> str:
        """Return the first lines, as text for people."""
        more = [f"... and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([*itertools.islice(self.lines(), SHOWN), *more, *self.skipped()])

    @property
    def predicted(self) -> list[str]:
        """Most probable class of each file."""
        return [self.classes[best] for best in self.probabilities.argmax(axis=1)]

    def lines(self) -> Iterator[str]:
        """Yield a line for each file: the two most probable classes and their probabilities."""
        for path, row in zip(self.paths, self.probabilities, strict=True):
            first, second = np.argsort(-row, kind="stable")[:2]
            best, next_best = (f"{one_line(self.classes[k])} ({100 * row[k]:.1f} %)" for k in (first, second))
            yield f"{one_line(str(path))}: {best}, then {next_best}"

    def skipped(self) -> list[str]:
        """Return a line for each file that could not be read."""
        return [one_line(f"skipped: {path}: {reason}") for path, reason in self.unreadable.items()]

    def table(self) -> pd.DataFrame:
        """Return a row for each file: path, predicted, probability, and the probability ``p_CLASS`` of each class."""
        frame = pd.DataFrame(self.probabilities, columns=[f"p_{name}" for name in self.classes])
        frame.insert(0, "path", [str(path) for path in self.paths])
        frame.insert(1, "predicted", self.predicted)
        frame.insert(2, "probability", self.probabilities.max(axis=1))
        return frame


@dataclass(frozen=True, repr=False)
class TrainedModel:
    """The classifiers of one or more seeds of an arm. Several predict by the mean of their probabilities."""

    folder: Path
    """Folder that was loaded."""
    members: list[Classifier]
    cards: list[Card]
    """The card of each member."""

    def __repr__(self) -> str:
        """Return a line for people."""
        card, seeds = self.card, [str(card.seed) for card in self.cards]
        of = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds ({', '.join(seeds)})"
        size = f"{card.image_size} x {card.image_size} pixels, {'gray' if card.channels == 1 else 'color'}"
        return one_line(f"{self.folder}: {card.mode}, {of}, {card.dataset}, {len(card.classes)} classes, {size}")

    @property
    def card(self) -> Card:
        """The card of the first member. All have the same classes and preprocessing."""
        return self.cards[0]

    @property
    def classes(self) -> list[str]:
        """Class names."""
        return self.card.classes

    @cached_property
    def device(self) -> torch.device:
        """Where the members compute."""
        return next(self.members[0].parameters()).device

    def pixels(self, path: str | Path) -> Pixels:
        """Return an image file as the model sees it, (S, S, C) uint8: decoded and resized as the training images.

        Raises CorruptData if the file cannot be read as an image.
        """
        card = self.card
        return fit_square(DATASETS[card.dataset].decode(Path(path), card.channels), card.image_size, card.fit)

    def predict(
        self, paths: str | Path | Iterable[str | Path], *, batch_size: int = BATCH_SIZE, progress: bool = False
    ) -> Predictions:
        """Classify image files, as evaluate does for test images. Files that cannot be read are skipped and listed.

        paths: one or more files, folders, patterns or tables; see fkt.evaluation.files.
        progress: show it on standard error if it takes long.
        """
        files = image_files([paths] if isinstance(paths, str | Path) else paths)
        unreadable: dict[Path, str] = {}
        read: list[Path] = []
        rows = [np.zeros((0, len(self.classes)))]
        seconds = 0.1 if sys.stderr.isatty() else 10  # in a log file, few lines
        with (
            self.threads(batch_size),
            tqdm(total=len(files), unit="image", mininterval=seconds, delay=seconds, disable=not progress) as bar,
        ):
            images = self._decoded(files, batch_size, unreadable, bar)
            while batch := list(itertools.islice(images, batch_size)):
                read += [path for path, _ in batch]
                pixels = torch.from_numpy(np.stack([image for _, image in batch])).permute(0, 3, 1, 2)
                features = (embed(one.backbone, pixels, self.card.mean, self.card.std) for one in self.members)
                each = [predict(one, found) for one, found in zip(self.members, features, strict=True)]
                rows.append(np.mean(each, axis=0, dtype=np.float64))
        return Predictions(read, self.classes, np.concatenate(rows).astype(np.float32), unreadable)

    @contextmanager
    def threads(self, batch_size: int) -> Iterator[None]:
        """Compute as the stages do, and restore the number of threads of the process afterwards."""
        before = torch.get_num_threads()
        setup_torch()
        try:
            set_threads(image_flops(self.members[0], self.card.channels, self.card.image_size) * batch_size)
            yield
        finally:
            torch.set_num_threads(before)

    def _decoded(
        self, files: list[Path], batch_size: int, unreadable: dict[Path, str], bar: tqdm[NoReturn]
    ) -> Iterator[tuple[Path, Pixels]]:
        """Yield each file that can be read, with its pixels; write down the others."""

        def read(path: Path) -> Pixels | str:
            try:
                return self.pixels(path)
            except Unreadable as error:
                return error.reason

        with ThreadPoolExecutor(decode_workers()) as pool:
            for start in range(0, len(files), batch_size):
                some = files[start : start + batch_size]
                for path, found in zip(some, pool.map(read, some), strict=True):
                    bar.update()
                    if isinstance(found, str):
                        unreadable[path] = found
                    else:
                        yield path, found


def load_trained(folder: str | Path | None = None, device: str | None = None) -> TrainedModel:
    """Load the model of one seed, or of all seeds of an arm; see fkt.load."""
    path = chosen()[0] if folder is None else Path(folder)
    on = pick_device(device)
    folders = model_folders(path) or [path]  # a folder without a model gets the error of load_model
    members, cards = [], []
    for one in folders:
        model, card = load_model(one, on)
        if not isinstance(model, Classifier):
            raise CheckpointError(f"{one} has no classifier; use {one.parent.parent / 'supervised' / one.name}")
        members.append(model)
        cards.append(card)
        if _data_of(card) != _data_of(cards[0]):
            raise CheckpointError(f"{one} and {folders[0]} were trained on different data; run 'dvc repro'")
    return TrainedModel(path, members, cards)


def chosen() -> tuple[Path, str]:
    """Return the folder of the arm that the report has chosen, and why. Raise CheckpointError if there is no report."""
    if not CHOSEN.is_file():
        raise CheckpointError(
            f"no model was named, and there is no result yet ({CHOSEN} is missing); run 'dvc repro', or name the "
            "folder of a model, such as models/functional/s0"
        )
    found = json.loads(CHOSEN.read_text(encoding="utf-8"))
    return MODELS / found["arm"], found["why"]


def model_folders(path: Path) -> list[Path]:
    """Return a folder itself if it has a model, otherwise its folders s0, s1, ... that have one, in this order."""
    if (path / CARD).is_file():
        return [path]
    seeds = (card.parent for card in path.glob(f"s*/{CARD}") if card.parent.name[1:].isdecimal())
    return sorted(seeds, key=lambda folder: int(folder.name[1:]))


def _data_of(card: Card) -> tuple[object, ...]:
    """Return what the models of an arm share: they see the same pixels and name the same classes."""
    return card.dataset, card.classes, card.image_size, card.channels, card.fit, card.mean, card.std
