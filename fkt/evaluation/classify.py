"""Classification of image files with a stored model. Files are decoded and resized as the training images were."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import CheckpointError, CorruptData
from fkt.core.hardware import set_threads, setup_torch
from fkt.data.normalize import normalize
from fkt.models.checkpoint import Card, load_model
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.raw.datasets import DATASETS
from fkt.raw.source import fit_square

BATCH_SIZE = 32
"""Images in a batch, so that a folder of photographs need not fit into memory."""


def classify(folder: Path, images: Sequence[Path]) -> tuple[list[str], Tensor]:
    """Return the class names, and the probabilities (N, K) float32 of N image files.

    Raises CheckpointError if the folder has no classifier, and CorruptData if a file cannot be read as an image.
    """
    setup_torch()
    model, card = load_model(folder)
    if not isinstance(model, Classifier):
        raise CheckpointError(f"{folder} has no classifier; use {folder.parent.parent / 'supervised' / folder.name}")
    set_threads(image_flops(model, card.channels, card.image_size) * BATCH_SIZE)
    found = []
    for start in range(0, len(images), BATCH_SIZE):
        batch_files = images[start : start + BATCH_SIZE]
        pixels = np.stack([fit_square(_decode(path, card), card.image_size, card.fit) for path in batch_files])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found.append(model(normalize(batch, card.mean, card.std)).softmax(dim=1))
    return card.classes, torch.cat(found)


def _decode(path: Path, card: Card) -> NDArray[np.uint8]:
    if path.is_dir():
        raise CorruptData(f"{path} is a folder; give the image files in it: {path}/*")
    try:
        return DATASETS[card.dataset].decode(path, card.channels)
    except CorruptData as error:
        raise CorruptData(f"{error}; give the path of an image file, such as a PNG or JPEG file") from error
