"""The table of raw datasets; each reader lists what is there, and decodes nothing yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fkt.core.errors import ParamsError
from fkt.raw.decode import decode_file
from fkt.raw.fundus import decode_fundus, read_aptos
from fkt.raw.source import Pixels, Raw, from_arrays
from fkt.raw.torchvision_sets import DIGITS, read_cifar, read_mnist, read_stl10, read_svhn, read_usps
from fkt.raw.trees import read_folder, read_imagenet100, read_intel

RAW = Path("data") / "raw"
"""Where raw data are looked for unless prepare.source says otherwise."""


def read_digits(source: Path, download: bool) -> Raw:
    """Read scikit-learn's digits: 1,797 images of 8 x 8, values 0 to 16 scaled to 0 to 255, without a test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.floor(digits.images * (255.0 / 16.0) + 0.5).astype(np.uint8)
    return from_arrays(DIGITS, {"train": (images, digits.target)})


@dataclass(frozen=True)
class Dataset:
    """One raw dataset."""

    read: Callable[[Path, bool], Raw]
    """(folder, download) -> Raw."""
    is_tree: bool = False
    """Whether each image is a file that is used whole."""
    decode: Callable[[Path, int], Pixels] = decode_file
    """(file, channels) -> pixels, for images that a trained model is used on."""
    embedded: bool = False
    """Whether it comes with a library, so that there is no folder of raw data."""


DATASETS = {
    "digits": Dataset(read_digits, embedded=True),
    "cifar10": Dataset(read_cifar("cifar10")),
    "cifar100": Dataset(read_cifar("cifar100")),
    "mnist": Dataset(read_mnist("mnist")),
    "fashion_mnist": Dataset(read_mnist("fashion_mnist")),
    "kmnist": Dataset(read_mnist("kmnist")),
    "usps": Dataset(read_usps),
    "svhn": Dataset(read_svhn),
    "stl10": Dataset(read_stl10),
    "intel": Dataset(read_intel, is_tree=True),
    "aptos": Dataset(read_aptos, decode=decode_fundus),
    "imagenet100": Dataset(read_imagenet100, is_tree=True),
    "folder": Dataset(read_folder, is_tree=True),
}


def read_raw(dataset: str, source: str | None, download: bool) -> Raw:
    """List the images of a dataset in ``source`` (None: data/raw/<dataset>).

    Raises DatasetNotFound where the data are absent, CorruptData where they contradict themselves.
    """
    if DATASETS[dataset].embedded and source is not None:
        raise ParamsError(f"prepare.source: {dataset} comes with a library and needs no folder; leave it empty")
    return DATASETS[dataset].read(source_folder(dataset, source), download)


def source_folder(dataset: str, source: str | None) -> Path:
    """Return the folder of a dataset's raw data.

    A queued experiment runs in a copy of what git has, without the raw data. What is not there is looked for in the
    repository that the experiment was queued in.
    """
    folder = RAW / dataset if source is None else Path(source).expanduser()
    if folder.exists():
        return folder
    return Path(os.environ.get("DVC_ROOT", ".")) / folder  # an absolute folder stays as it is
