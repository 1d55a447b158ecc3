"""Readers of the datasets that torchvision knows, one function each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fkt.raw.source import Pixels, Raw
from fkt.raw.torchvision_files import Layout, read_torchvision

DIGITS = [str(digit) for digit in range(10)]
STL10_CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def read_cifar(name: Literal["cifar10", "cifar100"]) -> Callable[[Path, bool], Raw]:
    """Return the reader of CIFAR-10 or CIFAR-100 (50,000 + 10,000 images of 32 x 32)."""

    def read(source: Path, download: bool) -> Raw:
        from torchvision import datasets

        kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
        folder = kind.base_folder
        files = [(f"{folder}/{file}", md5) for file, md5 in (*kind.train_list, *kind.test_list)]
        files.append((f"{folder}/{kind.meta['filename']}", kind.meta["md5"]))
        layout = Layout(lambda root, part, fetch: kind(root, train=part == "train", download=fetch), files, [])
        return read_torchvision(name, layout, source, download, lambda data: data.data, lambda data: data.classes)

    return read


def read_mnist(name: Literal["mnist", "fashion_mnist", "kmnist"]) -> Callable[[Path, bool], Raw]:
    """Return the reader of MNIST or one of its kin (60,000 + 10,000 images of 28 x 28).

    torchvision knows the md5 sums of the compressed files alone: they are checked wherever it unpacks them.
    """

    def read(source: Path, download: bool) -> Raw:
        from torchvision import datasets

        kind = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[name]
        packed = [(f"{kind.__name__}/raw/{file}", md5) for file, md5 in kind.resources]
        files: list[tuple[str, str | None]] = [(file.removesuffix(".gz"), None) for file, _ in packed]
        layout = Layout(lambda root, part, fetch: kind(root, train=part == "train", download=fetch), files, packed)
        names = DIGITS if name == "mnist" else list(kind.classes)
        return read_torchvision(name, layout, source, download, lambda data: data.data.numpy(), lambda _: names)

    return read


def read_usps(source: Path, download: bool) -> Raw:
    """Read USPS (7,291 + 2,007 digits of 16 x 16)."""
    from torchvision.datasets import USPS

    files = [(file, md5) for _, file, md5 in USPS.split_list.values()]
    layout = Layout(lambda root, part, fetch: USPS(root, train=part == "train", download=fetch), files, [])
    return read_torchvision("usps", layout, source, download, lambda data: data.data, lambda _: DIGITS)


def read_svhn(source: Path, download: bool) -> Raw:
    """Read the cropped digits of SVHN (73,257 + 26,032 images of 32 x 32); its extra part is left alone."""
    from torchvision.datasets import SVHN

    files = [SVHN.split_list[part][1:] for part in ("train", "test")]
    layout = Layout(lambda root, part, fetch: SVHN(root, split=part, download=fetch), [(f, m) for f, m in files], [])
    return read_torchvision("svhn", layout, source, download, _channels_last, lambda _: DIGITS)


def read_stl10(source: Path, download: bool) -> Raw:
    """Read the labelled parts of STL-10 (5,000 + 8,000 images of 96 x 96); the unlabelled one need not be there."""
    from torchvision.datasets import STL10

    # The list is what torchvision's integrity check goes through; as it stands it asks for 2.7 GB of unlabelled images.
    labelled: Any = type("STL10", (STL10,), {"train_list": STL10.train_list[:2]})
    lists = (*labelled.train_list, *labelled.test_list)
    files: list[tuple[str, str | None]] = [(f"{STL10.base_folder}/{file}", md5) for file, md5 in lists]
    layout = Layout(lambda root, part, fetch: labelled(root, split=part, download=fetch), files, [])
    return read_torchvision("stl10", layout, source, download, _channels_last, lambda _: STL10_CLASSES)


def _channels_last(data: Any) -> Pixels:  # noqa: ANN401 - torchvision ships no types
    return np.asarray(data.data).transpose(0, 2, 3, 1)
