"""A few training images as they were before preparation, for the augmentation sheet. Does not import torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fkt.data.meta import load_meta

EXAMPLES = 8
"""Training images on the sheet, at most."""
LONGEST_SIDE = 256
"""Originals are at most this high and wide, in pixels."""
FILE = "originals.npz"


def examples(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions (R,) of the images on the sheet: the first of each class, at most EXAMPLES.

    labels: (N,) of the training images.
    """
    first: NDArray[np.int64] = np.unique(labels, return_index=True)[1]
    return first[:EXAMPLES]


def load_originals(prepared: Path) -> dict[int, NDArray[np.uint8]]:
    """Return row of images.npy -> original (H, W, 3), for the examples whose original shows more than the row."""
    load_meta(prepared, FILE)
    if not (prepared / FILE).is_file():
        return {}
    with np.load(prepared / FILE, allow_pickle=False) as stored:
        return {int(row): stored[row] for row in stored.files}
