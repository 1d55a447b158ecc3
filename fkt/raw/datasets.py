"""The table of raw datasets. A reader lists the images of a dataset and decodes none of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fkt.core.errors import CorruptData, ParamsError
from fkt.core.files import one_line
from fkt.params import Prepare
from fkt.raw.folders import read_folder
from fkt.raw.fundus import decode_fundus, read_aptos
from fkt.raw.idx import read_idx
from fkt.raw.kaggle import read_imagenet100, read_intel
from fkt.raw.source import Pixels, Raw, decode_file, from_arrays
from fkt.raw.table import read_table, with_class_names
from fkt.raw.torchvision_sets import DIGITS, read_torchvision

RAW = Path("data") / "raw"
"""The folder of raw data unless prepare.source is set."""


def read_digits(source: Path, params: Prepare) -> Raw:
    """Read scikit-learn's digits: 1,797 images of 8 x 8, values 0 to 16 scaled to 0 to 255, no test set."""
    from sklearn.datasets import load_digits

    if params.source is not None:
        raise ParamsError(f"prepare.source: {params.source}: digits is part of a library; leave prepare.source empty")
    digits = load_digits()
    images = np.floor(digits.images * (255.0 / 16.0) + 0.5).astype(np.uint8)
    raw = from_arrays(DIGITS, {"train": (images, digits.target)})
    return replace(raw, origins={"train": "from scikit-learn, without official splits"})


@dataclass(frozen=True)
class Dataset:
    """One raw dataset."""

    read: Callable[[Path, Prepare], Raw]
    """(folder, settings) -> the list of its images."""
    is_tree: bool = False
    """Whether each image is a file that is used whole."""
    decode: Callable[[Path, int], Pixels] = decode_file
    """(file, channels) -> pixels, for the images that a trained model classifies."""
    known: tuple[int, int, int] | None = None
    """Number of classes, training images and test images, if every copy of the dataset has the same."""

    @property
    def is_files(self) -> bool:
        """Whether each image is a file."""
        return self.is_tree or self.decode is not decode_file


DATASETS = {
    "digits": Dataset(read_digits, known=(10, 1797, 0)),
    "cifar10": Dataset(partial(read_torchvision, "cifar10"), known=(10, 50_000, 10_000)),
    "cifar100": Dataset(partial(read_torchvision, "cifar100"), known=(100, 50_000, 10_000)),
    "mnist": Dataset(partial(read_idx, "mnist"), known=(10, 60_000, 10_000)),
    "fashion_mnist": Dataset(partial(read_idx, "fashion_mnist"), known=(10, 60_000, 10_000)),
    "kmnist": Dataset(partial(read_idx, "kmnist"), known=(10, 60_000, 10_000)),
    "usps": Dataset(partial(read_torchvision, "usps"), known=(10, 7291, 2007)),
    "svhn": Dataset(partial(read_torchvision, "svhn"), known=(10, 73_257, 26_032)),
    "stl10": Dataset(partial(read_torchvision, "stl10"), known=(10, 5000, 8000)),
    "intel": Dataset(read_intel, is_tree=True, known=(6, 14_034, 3000)),
    "aptos": Dataset(read_aptos, decode=decode_fundus, known=(5, 3662, 0)),
    "imagenet100": Dataset(read_imagenet100, is_tree=True),
    "folder": Dataset(read_folder, is_tree=True),
}


def read_source(dataset: str, params: Prepare) -> Raw:
    """List the images of a dataset as the settings say.

    Raises DatasetNotFound if the data are missing, CorruptData if they contradict each other, ParamsError for settings
    that do not fit them.
    """
    folder = source_folder(dataset, params.source)
    if params.table is None:
        raw = DATASETS[dataset].read(folder, params)
    else:
        raw = read_table(folder, table_file(folder, params.table), params)
    if DATASETS[dataset].is_tree:
        raw = with_class_names(raw, folder)
    if odd := [one_line(name) for name in raw.classes if one_line(name) != name]:
        raise CorruptData(
            f"names of classes in {folder} with control characters or bytes that are not UTF-8: {', '.join(odd)}; "
            "rename them"
        )
    if not params.val_as_test:
        return raw
    if "test" in raw.parts or "val" not in raw.parts:
        problem = "has test images" if "test" in raw.parts else "has no validation images"
        raise ParamsError(f"prepare.val_as_test: true, but the source {problem}; set it to false")
    origins = {"test" if part == "val" else part: origin for part, origin in raw.origins.items()}
    origins["test"] += " (prepare.val_as_test: true)"
    return replace(raw, parts=np.where(raw.parts == "val", "test", raw.parts), origins=origins)


def source_folder(dataset: str, source: str | None) -> Path:
    """Return the folder of a dataset's raw data."""
    return _here(RAW / dataset if source is None else Path(source).expanduser())


def table_file(folder: Path, table: str) -> Path:
    """Return the path of ``prepare.table``: inside the source's folder if it is there, otherwise in the project."""
    inside = folder / Path(table).expanduser()
    return inside if inside.is_file() else _here(Path(table).expanduser())


def _here(path: Path) -> Path:
    """Return the path in this project.

    A queued experiment runs in a copy of the repository without raw data. If the path does not exist in the copy, that
    in the original repository is used.
    """
    return path if path.exists() else Path(os.environ.get("DVC_ROOT", ".")) / path
