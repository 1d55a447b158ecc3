"""The files that torchvision opens: found, fetched where asked for, and verified before the first is opened.

The source may be the folder that torchvision calls ``root``, or a folder of its layout below that. Pickles (CIFAR)
are opened only after the md5 sums of all their files were found right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.raw.source import Pixels, Raw, from_arrays

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Layout:
    """How torchvision opens a dataset, and which files it wants for it."""

    open: Callable[[Path, Part, bool], Any]
    """(root, part, download) -> torchvision's dataset."""
    files: list[tuple[str, str | None]]
    """Path below the root, and md5 where torchvision knows it."""
    packed: list[tuple[str, str]]
    """Compressed files that torchvision unpacks itself, without the network, if all of them are there."""


def read_torchvision(
    name: str,
    layout: Layout,
    source: Path,
    download: bool,
    pixels: Callable[[Any], Pixels],
    classes: Callable[[Any], Sequence[str]],
) -> Raw:
    """Open the train and test part of a dataset; pixels and classes take what is needed from torchvision's object.

    Raises DatasetNotFound for absent files, CorruptData for files that are not what torchvision knows.
    """
    root = _root(source, layout)
    if download or _all_packed(root, layout):
        _fetch(name, layout, root)
    _verify(name, layout, root)
    try:
        train, test = layout.open(root, "train", False), layout.open(root, "test", False)
    except (RuntimeError, ValueError, TypeError, AssertionError, EOFError, OSError) as error:
        raise CorruptData(f"{name} in {root} cannot be read ({error}); delete its files and get them again") from error
    arrays = {part: (pixels(data), _targets(data)) for part, data in (("train", train), ("test", test))}
    return from_arrays(classes(train), {"train": arrays["train"], "test": arrays["test"]})


def _targets(data: Any) -> NDArray[Any]:  # noqa: ANN401 - torchvision ships no types
    return np.asarray(data.targets if hasattr(data, "targets") else data.labels)


def _root(source: Path, layout: Layout) -> Path:
    """Go up from a folder of the layout (``cifar-10-batches-py``, ``MNIST/raw``) to the folder that holds it."""
    inner = Path(layout.files[0][0]).parent.parts
    own = source.resolve().parts
    for depth in range(len(inner), 0, -1):
        if own[-depth:] == inner[:depth]:
            return Path(*own[:-depth])
    return source


def _md5_is(path: Path, md5: str | None) -> bool:
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(path, md5))


def _all_packed(root: Path, layout: Layout) -> bool:
    absent = any(not (root / name).is_file() for name, _ in layout.files)
    return absent and bool(layout.packed) and all(_md5_is(root / name, md5) for name, md5 in layout.packed)


def _fetch(name: str, layout: Layout, root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        layout.open(root, "train", True)
        layout.open(root, "test", True)
    except (RuntimeError, OSError) as error:
        raise DatasetNotFound(
            f"{name} could not be downloaded to {root} ({error}); try again, or put its files there by hand: "
            f"{', '.join(file for file, _ in layout.files)}"
        ) from error


def _verify(name: str, layout: Layout, root: Path) -> None:
    """Account for every file before torchvision opens the first."""
    absent = [file for file, _ in layout.files if not (root / file).is_file()]
    if absent:
        some = "" if len(absent) == len(layout.files) else f"{len(absent)} of {len(layout.files)} files of "
        raise DatasetNotFound(
            f"{some}{name} not found in {root}; missing: {', '.join(absent)}. Set prepare.download: true to fetch it "
            "through torchvision, or put the files there, or set prepare.source to the folder that holds them"
        )
    wrong = [file for file, md5 in layout.files if not _md5_is(root / file, md5)]
    if wrong:
        raise CorruptData(
            f"{name} in {root}: the md5 sum is not torchvision's for {', '.join(wrong)}; nothing of it was opened. "
            "Delete these files and get them again"
        )
