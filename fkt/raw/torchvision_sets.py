"""The datasets that torchvision can read: their files are found, downloaded on request, verified and then opened.

The source is the folder that torchvision calls ``root``, or a folder of its layout inside ``root``. Pickles (CIFAR) are
opened only after the md5 sums of all files were found correct.
"""

from collections.abc import Callable, Sequence
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
    files: Sequence[tuple[str, str]]
    """Path below the root and md5 sum."""
    pixels: Callable[[Any], Pixels] = lambda data: data.data
    """torchvision's dataset -> images (N, H, W) or (N, H, W, 3)."""
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

    Raises DatasetNotFound for missing files, CorruptData for files that torchvision does not know or cannot read.
    """
    layout = _layout(name)
    root = _root(source, layout)
    if params.download:
        try:
            root.mkdir(parents=True, exist_ok=True)
            layout.open(root, "train", True)
            layout.open(root, "test", True)
        except (RuntimeError, OSError) as error:
            raise DatasetNotFound(
                f"{name} could not be downloaded to {root} ({error}); try again, or put its files there: "
                f"{', '.join(file for file, _ in layout.files)}"
            ) from error
    if missing := _missing(root, layout):
        some = "" if len(missing) == len(layout.files) else f"{len(missing)} of {len(layout.files)} files of "
        raise DatasetNotFound(
            f"{some}{name} not found in {root}; missing: {', '.join(missing)}. Set prepare.download: true to download "
            "it, or put the files there, or set prepare.source to the folder that contains them"
        )
    if wrong := _wrong(root, layout.files):
        raise CorruptData(
            f"{name} in {root}: the md5 sum is not torchvision's for {', '.join(wrong)}; no file was opened. "
            "Delete these files and download them again"
        )
    try:
        train, test = layout.open(root, "train", False), layout.open(root, "test", False)
    except (RuntimeError, ValueError, TypeError, AssertionError, EOFError, OSError) as error:
        raise CorruptData(
            f"{name} in {root} cannot be read ({error}); delete its files and download them again"
        ) from error
    classes = train.classes if layout.classes is None else layout.classes
    return from_arrays(
        classes,
        {"train": (layout.pixels(train), _targets(train)), "test": (layout.pixels(test), _targets(test))},
    )


def _layout(name: str) -> Layout:
    from torchvision import datasets

    match name:
        case "cifar10" | "cifar100":
            kind: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
            known = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
            return Layout(kind, [(f"{kind.base_folder}/{file}", md5) for file, md5 in known], classes=None)
        case "usps":
            return Layout(datasets.USPS, [(file, md5) for _, file, md5 in datasets.USPS.split_list.values()])
        case "svhn":
            known = [datasets.SVHN.split_list[part][1:] for part in ("train", "test")]
            return Layout(datasets.SVHN, [(file, md5) for file, md5 in known], _channels_last, has_split=True)
        case "stl10":
            # torchvision's own list also asks for 2.7 GB of unlabelled images.
            kind = type("STL10", (datasets.STL10,), {"train_list": datasets.STL10.train_list[:2]})
            known = [(f"{kind.base_folder}/{file}", md5) for file, md5 in (*kind.train_list, *kind.test_list)]
            return Layout(kind, known, _channels_last, STL10_CLASSES, has_split=True)
        case _:
            raise AssertionError(name)


def _channels_last(data: Any) -> Pixels:  # noqa: ANN401 - torchvision ships no types
    return np.asarray(data.data).transpose(0, 2, 3, 1)


def _targets(data: Any) -> NDArray[Any]:  # noqa: ANN401 - torchvision ships no types
    return np.asarray(data.targets if hasattr(data, "targets") else data.labels)


def _root(source: Path, layout: Layout) -> Path:
    """Return the root for a source inside it, such as ``cifar-10-batches-py``."""
    inner = Path(layout.files[0][0]).parent.parts
    own = source.resolve().parts
    for depth in range(len(inner), 0, -1):
        if own[-depth:] == inner[:depth]:
            return Path(*own[:-depth])
    return source


def _missing(root: Path, layout: Layout) -> list[str]:
    return [file for file, _ in layout.files if not (root / file).is_file()]


def _wrong(root: Path, files: Sequence[tuple[str, str]]) -> list[str]:
    """Return the files that do not exist or have another md5 sum."""
    from torchvision.datasets.utils import check_integrity

    return [file for file, md5 in files if not check_integrity(root / file, md5)]
