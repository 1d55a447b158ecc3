"""Tiny datasets in the file formats of torchvision. Their md5 sums must replace those that torchvision expects."""

import bz2
import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from tests.fakes import stacked


def write_mnist(root: Path, train: int = 8, test: int = 3, *, kind: str = "MNIST", packed: bool = False) -> list[str]:
    """Write idx files of 10 classes in torchvision's layout. If packed, return the md5 sums of the compressed files."""
    raw, sums = root / kind / "raw", []
    raw.mkdir(parents=True)
    for prefix, per_class, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = stacked(10, per_class, 28, seed)
        gray = images.mean(axis=3).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", gray), (f"{prefix}-labels-idx1-ubyte", labels)):
            head = np.array([0x800 + array.ndim, *array.shape], dtype=">i4").tobytes()
            content = head + array.astype(np.uint8).tobytes()
            if packed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
                sums.append(md5(raw / f"{name}.gz"))
            else:
                (raw / name).write_bytes(content)
    return sums


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write pickled batches of 20 images in the layout of CIFAR-10, and let torchvision expect their md5 sums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for seed, name in enumerate(names):
        images, labels = stacked(10, 2, 32, seed)
        flat = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        (folder / name).write_bytes(pickle.dumps({"data": flat, "labels": labels.tolist()}))
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}))
    sums = [(name, md5(folder / name)) for name in (*names, "batches.meta")]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": sums[6][0], "key": "label_names", "md5": sums[6][1]})


def write_usps(root: Path, train: int = 6, test: int = 3) -> dict[str, str]:
    """Write USPS in the text format of libsvm. Return the md5 sum of each part."""
    root.mkdir(parents=True, exist_ok=True)
    sums = {}
    for seed, (part, name, per_class) in enumerate((("train", "usps.bz2", train), ("test", "usps.t.bz2", test))):
        images, labels = stacked(10, per_class, 16, seed)
        values = images.mean(axis=3).reshape(len(images), -1) / 127.5 - 1
        lines = [
            f"{label + 1} " + " ".join(f"{place + 1}:{value:.4f}" for place, value in enumerate(row))
            for label, row in zip(labels, values, strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))
        sums[part] = md5(root / name)
    return sums


def write_svhn(root: Path, train: int = 6, test: int = 3) -> dict[str, str]:
    """Write the Matlab files of SVHN, where the digit 0 has the label 10. Return the md5 sum of each part."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    sums = {}
    for seed, (part, per_class) in enumerate((("train", train), ("test", test))):
        images, labels = stacked(10, per_class, 32, seed)
        path = root / f"{part}_32x32.mat"
        savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        sums[part] = md5(path)
    return sums


def write_stl10(root: Path, train: int = 4, test: int = 2) -> dict[str, str]:
    """Write the labelled parts of STL-10 (column-major planes, labels from 1). Return the md5 sum of each file."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for seed, (part, per_class) in enumerate((("train", train), ("test", test))):
        images, labels = stacked(10, per_class, 96, seed)
        (folder / f"{part}_X.bin").write_bytes(np.ascontiguousarray(images.transpose(0, 3, 2, 1)).tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    return {path.name: md5(path) for path in sorted(folder.glob("*.bin"))}


def md5(path: Path) -> str:
    """Return the md5 sum of a file."""
    return hashlib.md5(path.read_bytes()).hexdigest()
