"""``python -m fkt.cli.predict MODEL IMAGE...``: use a trained classifier, e.g. models/functional/s0, on image files.

Images are decoded, fitted and normalized as prepare did it for the training images; the model's card says how.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fkt.core.errors import CorruptData, reported
from fkt.data.normalize import normalize
from fkt.models.checkpoint import Card, load_classifier
from fkt.raw.datasets import DATASETS
from fkt.raw.resize import SquareFit

BATCH = 32
"""Images that go through the network at a time: a folder of photographs need not fit into memory."""


def classify(folder: Path, images: Sequence[Path]) -> tuple[list[str], Tensor]:
    """Return the class names and the probabilities (N, K) float32 of N image files.

    Raises CheckpointError for a folder without a model, CorruptData for a file that cannot be read.
    """
    model, card = load_classifier(folder)
    fit, found = SquareFit(card.image_size), []
    for start in range(0, len(images), BATCH):
        pixels = np.stack([fit(_decode(path, card)) for path in images[start : start + BATCH]])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found.append(model(normalize(batch, card.mean, card.std)).softmax(dim=1))
    return card.classes, torch.cat(found)


def _decode(path: Path, card: Card) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not path.is_file():
        raise CorruptData(f"{path}: there is no such file; give image files, not folders")
    return DATASETS[card.dataset].decode(path, card.channels)


def main() -> None:
    """Print, for each image, the most probable class, its probability and the runner-up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path, nargs="+")
    arguments = parser.parse_args()
    classes, probabilities = classify(arguments.model, arguments.image)
    for path, row in zip(arguments.image, probabilities, strict=True):
        (first, second), (a, b) = row.topk(2)[0].tolist(), row.topk(2)[1].tolist()
        print(f"{path}: {classes[a]} ({100 * first:.1f} %), then {classes[b]} ({100 * second:.1f} %)")


if __name__ == "__main__":
    with reported():
        main()
