"""A trained classifier used on image files, which are decoded, resized and normalized as the training images were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import CorruptData
from fkt.data.normalize import normalize
from fkt.models.checkpoint import Card, load_classifier
from fkt.raw.datasets import DATASETS
from fkt.raw.source import fit_square

BATCH = 32
"""Images that go through the network at a time, so that a folder of photographs need not fit into memory."""


def classify(folder: Path, images: Sequence[Path]) -> tuple[list[str], Tensor]:
    """Return the class names and the probabilities (N, K) float32 of N image files.

    Raises CheckpointError for a folder without a model, CorruptData for a file that cannot be read.
    """
    model, card = load_classifier(folder)
    found = []
    for start in range(0, len(images), BATCH):
        pixels = np.stack([fit_square(_decode(path, card), card.image_size) for path in images[start : start + BATCH]])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found.append(model(normalize(batch, card.mean, card.std)).softmax(dim=1))
    return card.classes, torch.cat(found)


def _decode(path: Path, card: Card) -> NDArray[np.uint8]:
    if not path.is_file():
        raise CorruptData(f"{path}: there is no such file; give image files, not folders")
    return DATASETS[card.dataset].decode(path, card.channels)
