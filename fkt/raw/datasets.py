"""The raw datasets by name; each reader lists what is there, and decodes nothing yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fkt.core.errors import ParamsError
from fkt.raw.fundus import read_aptos
from fkt.raw.source import Raw, from_arrays
from fkt.raw.torchvision_sets import DIGITS, read_cifar, read_mnist, read_stl10, read_svhn, read_usps
from fkt.raw.trees import read_folder, read_imagenet100, read_intel

RAW = Path("data") / "raw"
"""Where raw data are looked for unless prepare.source says otherwise."""


def read_digits() -> Raw:
    """Read scikit-learn's digits (1,797 images of 8 x 8, values 0 to 16 scaled to 0 to 255); there is no test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.floor(digits.images * (255.0 / 16.0) + 0.5).astype(np.uint8)
    return from_arrays(DIGITS, {"train": (images, digits.target)})


def read_raw(dataset: str, source: str | None, download: bool) -> Raw:
    """List the images of a dataset in ``source`` (None: data/raw/<dataset>).

    Raises DatasetNotFound for absent data, CorruptData for data that contradict themselves.
    """
    if dataset == "digits":
        if source is not None:
            raise ParamsError(f"prepare.source: '{source}' is not read, digits come with scikit-learn; set it to null")
        return read_digits()
    return DATASETS[dataset](source_folder(dataset, source), download)


def source_folder(dataset: str, source: str | None) -> Path:
    """Return where the raw data of a dataset are looked for.

    A queued experiment runs in a copy of what git has, and raw data are not in git: what is not here may be in the
    repository that the experiment was queued in.
    """
    folder = RAW / dataset if source is None else Path(source).expanduser()
    if folder.exists():
        return folder
    return Path(os.environ.get("DVC_ROOT", ".")) / folder  # of a path that is absolute, the path alone


DATASETS: dict[str, Callable[[Path, bool], Raw]] = {
    "cifar10": read_cifar("cifar10"),
    "cifar100": read_cifar("cifar100"),
    "mnist": read_mnist("mnist"),
    "fashion_mnist": read_mnist("fashion_mnist"),
    "kmnist": read_mnist("kmnist"),
    "usps": read_usps,
    "svhn": read_svhn,
    "stl10": read_stl10,
    "intel": read_intel,
    "aptos": read_aptos,
    "imagenet100": read_imagenet100,
    "folder": read_folder,
}
"""The readers: (source, download) -> Raw; digits, which have neither, are read by read_digits."""
