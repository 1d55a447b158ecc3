"""MNIST and its kin: four idx files, compressed as they are published or not, found where people put them."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fkt.core.errors import CorruptData
from fkt.params import Prepare
from fkt.raw.source import Pixels, Raw, from_arrays
from fkt.raw.torchvision_sets import DIGITS, check_files, downloading


def read_idx(name: str, source: Path, params: Prepare) -> Raw:
    """Read mnist, fashion_mnist or kmnist from the source, or from raw, KIND or KIND/raw (as torchvision) inside it.

    Raises DatasetNotFound for missing files, CorruptData for compressed files with another md5 sum than torchvision's,
    and for files that cannot be read. torchvision knows no sums of files that are not compressed.
    """
    from torchvision import datasets

    kind: Any = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[name]
    sums: dict[str, str] = dict(kind.resources)
    found = _found(source, kind.__name__, sums)
    if params.download and None in found.values():
        with downloading(name, source, sums):
            kind(str(source), download=True)
        found = _found(source, kind.__name__, sums)
    check_files(name, source, found, sums)
    paths = [path for path in found.values() if path is not None]
    images, labels, test_images, test_labels = map(_read, paths)
    for path, pixels, classes in ((paths[0], images, labels), (paths[2], test_images, test_labels)):
        if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
            raise CorruptData(f"{path} has the shape {pixels.shape}, its labels {classes.shape}; download both again")
    names = DIGITS if name == "mnist" else kind.classes
    return from_arrays(names, {"train": (images, labels), "test": (test_images, test_labels)})


def _found(source: Path, kind: str, names: dict[str, str]) -> dict[str, Path | None]:
    """Return the path of each file, without .gz if it exists, from the folder that has most of them."""
    found: dict[str, Path | None] = dict.fromkeys(names)
    for folder in (source, source / "raw", source / kind, source / kind / "raw"):
        paths = {
            name: next((path for path in (folder / name.removesuffix(".gz"), folder / name) if path.is_file()), None)
            for name in names
        }
        found = max(found, paths, key=lambda some: sum(path is not None for path in some.values()))
    return found


def _read(path: Path) -> Pixels:
    """Read an idx file of bytes: two zeros, the type 8, the number of dimensions, their sizes, the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise CorruptData(f"{path} cannot be read ({error}); download it again") from error
