"""The datasets that torchvision can read: their files are found, downloaded on request, verified and then opened.

The source is the folder that torchvision calls ``root``, or a folder of its layout inside ``root``. Pickles (CIFAR) are
opened only after the md5 sums of all files were found correct.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SplitName
from fkt.params import Prepare
from fkt.raw.source import Pixels, Raw, from_arrays

DIGITS = tuple("0123456789")
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@dataclass(frozen=True)
class Layout:
    """The files of a dataset, and how torchvision opens it."""

    kind: Any
    """torchvision's class of the dataset."""
    sums: Mapping[str, str]
    """Path below the root -> md5 sum, of each file."""
    classes: Sequence[str] | None = DIGITS
    """None: torchvision's names."""
    has_split: bool = False
    """Whether the argument of ``kind`` is split="train" or "test", and not train=True or False."""

    def open(self, root: Path, part: SplitName, download: bool) -> Any:  # noqa: ANN401 - torchvision ships no types
        """Return torchvision's dataset of a part."""
        argument = {"split": part} if self.has_split else {"train": part == "train"}
        return self.kind(root, download=download, **argument)


def read_torchvision(name: str, source: Path, params: Prepare) -> Raw:
    """Read the train and test part of a dataset.

    Raises DatasetNotFound for missing files, CorruptData for files that torchvision does not know.
    """
    layout = _layout(name)
    root = _root(source, layout)
    parts: tuple[SplitName, ...] = ("train", "test")
    if params.download:
        with downloading(name, root, layout.sums):
            for part in parts:
                layout.open(root, part, True)
    found = {file: path if (path := root / file).is_file() else None for file in layout.sums}
    check_files(name, root, found, layout.sums)
    opened = {part: layout.open(root, part, False) for part in parts}
    classes = opened["train"].classes if layout.classes is None else layout.classes
    return from_arrays(classes, {part: _arrays(data) for part, data in opened.items()})


@contextmanager
def downloading(name: str, root: Path, files: Iterable[str]) -> Iterator[None]:
    """Turn the errors of a download into DatasetNotFound."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except (RuntimeError, OSError) as error:
        raise DatasetNotFound(
            f"{name} could not be downloaded to {root} ({error}); try again, or put its files there: {', '.join(files)}"
        ) from error


def check_files(name: str, folder: Path, found: Mapping[str, Path | None], sums: Mapping[str, str]) -> None:
    """Check the files of a dataset before any is opened: file -> its path if it exists, and file -> its md5 sum.

    Raises DatasetNotFound for missing files, CorruptData for wrong sums. A file that was unpacked has no sum.
    """
    from torchvision.datasets.utils import check_integrity

    if missing := [file for file, path in found.items() if path is None]:
        raise DatasetNotFound(
            f"{len(missing)} of {len(found)} files of {name} not found in {folder}; missing: {', '.join(missing)}. Set "
            "prepare.download: true to download them, or put them there, or set prepare.source to their folder"
        )
    published = {file: path for file, path in found.items() if path is not None and path.name == Path(file).name}
    if wrong := [str(path) for file, path in published.items() if not check_integrity(path, sums[file])]:
        raise CorruptData(
            f"the md5 sum of {', '.join(wrong)} is not torchvision's; no file was opened. Delete these files and "
            "download them again"
        )


def _layout(name: str) -> Layout:
    from torchvision import datasets

    match name:
        case "cifar10" | "cifar100":
            kind: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
            known = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
            return Layout(kind, {f"{kind.base_folder}/{file}": md5 for file, md5 in known}, classes=None)
        case "usps":
            return Layout(datasets.USPS, {file: md5 for _, file, md5 in datasets.USPS.split_list.values()})
        case "svhn":
            known = [datasets.SVHN.split_list[part][1:] for part in ("train", "test")]
            return Layout(datasets.SVHN, dict(known), has_split=True)
        case "stl10":
            # torchvision's own list also asks for 2.7 GB of unlabelled images.
            kind = type("STL10", (datasets.STL10,), {"train_list": datasets.STL10.train_list[:2]})
            known = [(f"{kind.base_folder}/{file}", md5) for file, md5 in (*kind.train_list, *kind.test_list)]
            return Layout(kind, dict(known), STL10_CLASSES, has_split=True)
        case _:
            raise AssertionError(name)


def _arrays(data: Any) -> tuple[Pixels, NDArray[Any]]:  # noqa: ANN401 - torchvision ships no types
    """Return images (N, H, W) or (N, H, W, 3), and labels (N,)."""
    images = np.asarray(data.data)
    channels_first = images.ndim == 4 and images.shape[1] == 3
    labels = np.asarray(data.targets if hasattr(data, "targets") else data.labels)
    return images.transpose(0, 2, 3, 1) if channels_first else images, labels


def _root(source: Path, layout: Layout) -> Path:
    """Return the root for a source inside it, such as ``cifar-10-batches-py``."""
    inner = Path(next(iter(layout.sums))).parent.parts
    own = source.resolve().parts
    for depth in range(len(inner), 0, -1):
        if own[-depth:] == inner[:depth]:
            return Path(*own[:-depth])
    return source
