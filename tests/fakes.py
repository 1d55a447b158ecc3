"""Tiny image trees in the original layout of each source. Images of a class have one shape and one brightness.

The classes can be learned, so that tests of whole runs can expect more than chance.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fkt.data.meta import SPLITS, Meta, write_meta
from fkt.params import Prepare, load_params
from fkt.raw.datasets import read_source
from fkt.raw.source import Raw

ROOT = Path(__file__).resolve().parent.parent
Pixels = NDArray[np.uint8]
INTEL_CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")


def class_image(label: int, draw: np.random.Generator, size: int = 32, width: int | None = None) -> Pixels:
    """Return one image (size, width or size, 3) of a class, with its shape, brightness and tint at a random place."""
    width = size if width is None else width
    y, x = np.mgrid[0:size, 0:width] / size
    cy, cx = 0.5 + draw.uniform(-0.12, 0.12), width / size * 0.5 + draw.uniform(-0.12, 0.12)
    dy, dx = y - cy, x - cx
    shapes = (
        np.hypot(dy, dx) < 0.3,
        np.abs(dy) < 0.12,
        np.abs(dx) < 0.12,
        np.abs(np.hypot(dy, dx) - 0.32) < 0.07,
        np.abs(np.abs(dy) - np.abs(dx)) < 0.08,
        np.maximum(np.abs(dy), np.abs(dx)) < 0.28,
    )
    shade = 110 + 130 * ((label * 5) % 7) / 6
    tint = np.roll([1.0, 0.8, 0.6], label)
    image = 40 + shapes[label % len(shapes)][..., None] * shade * tint * 0.8 + draw.normal(0, 6, (size, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def save(path: Path, image: Pixels) -> None:
    """Write an image file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def write_classes(
    root: Path, classes: Sequence[str], per_class: int, *, size: int = 32, suffix: str = ".png", seed: int = 0
) -> None:
    """Write root/<class>/<number><suffix> with several widths."""
    for label, name in enumerate(classes):
        draw = np.random.default_rng([seed, label])
        for number in range(per_class):
            save(root / name / f"{number:03d}{suffix}", class_image(label, draw, size, size + 4 * (number % 3)))


def write_folder(
    root: Path,
    classes: Sequence[str] = ("bar", "disc", "ring"),
    parts: Mapping[str, int] | int = 12,
    *,
    size: int = 32,
) -> None:
    """Write a tree of class folders with ``parts`` images per class, or one tree per part with its number."""
    if isinstance(parts, int):
        write_classes(root, classes, parts, size=size)
        return
    for seed, (part, per_class) in enumerate(parts.items()):
        write_classes(root / part, classes, per_class, size=size, seed=seed)


def write_intel(root: Path, train: int = 10, test: int = 4, *, nested: bool = True, size: int = 32) -> None:
    """Write Kaggle's intel-image-classification with its unlabelled seg_pred."""
    for seed, (part, per_class) in enumerate((("seg_train", train), ("seg_test", test))):
        folder = root / part / part if nested else root / part
        write_classes(folder, INTEL_CLASSES, per_class, size=size, suffix=".jpg", seed=seed)
    save(root / "seg_pred" / "seg_pred" / "5.jpg", class_image(0, np.random.default_rng(9), size))


def fundus_image(grade: int, draw: np.random.Generator, height: int, width: int) -> Pixels:
    """Return a photograph (height, width, 3): a disc on black, with more spots for a higher grade."""
    y, x = np.mgrid[0:height, 0:width]
    disc = np.hypot(y - height / 2, x - width / 2) < 0.45 * min(height, width)
    image = np.where(disc[..., None], np.array([170.0, 90.0, 40.0]) - 12 * grade, 0.0)
    for _ in range(3 * grade):
        cy, cx = draw.uniform(0.3, 0.7) * height, draw.uniform(0.3, 0.7) * width
        image[np.hypot(y - cy, x - cx) < 0.05 * height] = (240, 220, 90)
    return np.clip(image + draw.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


def write_aptos(root: Path, per_class: int = 10, *, size: int = 40) -> None:
    """Write Kaggle's aptos2019-blindness-detection: train.csv, train_images and a test set without grades."""
    rows = []
    for grade in range(5):
        draw = np.random.default_rng(grade)
        for number in range(per_class):
            name = hashlib.md5(f"{grade}-{number}".encode()).hexdigest()[:12]
            save(root / "train_images" / f"{name}.png", fundus_image(grade, draw, size, size + 8 * (number % 3)))
            rows.append((name, grade))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id_code", "diagnosis"), *sorted(rows)])
    (root / "test.csv").write_text("id_code\n0005cfc8afb6\n")
    save(root / "test_images" / "0005cfc8afb6.png", fundus_image(0, np.random.default_rng(5), size, size))


def write_imagenet100(root: Path, train: int = 8, test: int = 3, *, size: int = 32) -> None:
    """Write three listed wnids, and one that is not in the list."""
    wnids = ("n01440764", "n01443537", "n01484850", "n09999999")
    write_classes(root / "train", wnids, train, size=size, suffix=".JPEG")
    write_classes(root / "val", wnids, test, size=size, suffix=".JPEG", seed=1)
    (root / "classes.txt").write_text("n01443537 goldfish\nn01440764 tench, Tinca tinca\nn01484850\n")


def write_odd_files(folder: Path, label: int = 0, size: int = 32) -> list[str]:
    """Write readable images of unusual formats (all of one class) into a folder. Return their names."""
    draw = np.random.default_rng([7, label])
    images = [Image.fromarray(class_image(label, draw, size)) for _ in range(7)]
    folder.mkdir(parents=True, exist_ok=True)
    images[0].convert("RGBA").save(folder / "odd_rgba.png")
    gray16 = np.asarray(images[1].convert("L")).astype(np.uint16) * 257
    Image.fromarray(gray16).save(folder / "odd_16bit.png")
    images[2].convert("L").save(folder / "odd_gray.jpg")
    images[3].quantize(64).save(folder / "odd_palette.png")
    images[4].convert("CMYK").save(folder / "odd_cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    images[5].save(folder / "odd_rotated.jpg", exif=exif)
    images[6].convert("LA").save(folder / "odd_la.png")
    return sorted(path.name for path in folder.glob("odd_*"))


def write_broken_files(folder: Path, size: int = 32) -> list[str]:
    """Write files that are not complete images into a folder. Return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "broken_truncated.jpg"
    save(whole, class_image(0, np.random.default_rng(8), size))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "broken_empty.png").write_bytes(b"")
    (folder / "broken_text.jpg").write_text("<html>404</html>")
    return sorted(path.name for path in folder.glob("broken_*"))


def stacked(num_classes: int, per_class: int, size: int, seed: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Return images (N, size, size, 3) and labels (N,) with alternating classes."""
    draw = np.random.default_rng(seed)
    labels = np.tile(np.arange(num_classes), per_class)
    return np.stack([class_image(int(label), draw, size) for label in labels]), labels


def prepare_params(source: Path | str | None, **changes: object) -> Prepare:
    """Return the shipped prepare section for color images of 16 pixels in a folder, with changes."""
    changes = {"image_size": 16, "channels": 3, "test_fraction": 0.2, "source": source and str(source)} | changes
    return load_params(ROOT / "params.yaml").prepare.model_copy(update=changes)


def read(dataset: str, source: Path | str | None, **changes: object) -> Raw:
    """List the images of a dataset with the settings of ``prepare_params``."""
    return read_source(dataset, prepare_params(source, **changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def counted(raw: Raw) -> dict[str, list[int]]:
    """Return the number of images of each class, for each part that is not empty."""
    return {
        part: np.bincount(raw.labels[raw.parts == part], minlength=len(raw.classes)).tolist()
        for part in SPLITS
        if (raw.parts == part).any()
    }


def write_prepared(
    folder: Path,
    *,
    dataset: str = "folder",
    num_classes: int = 3,
    per_class: Mapping[str, int] | None = None,
    image_size: int = 16,
    channels: int = 3,
) -> Meta:
    """Write a prepared folder without raw data: classes c0, c1, ... in shuffled rows."""
    sizes = dict(per_class or {"train": 12, "val": 4, "test": 6})
    images, labels = stacked(num_classes, sum(sizes.values()), image_size, 0)
    images = images if channels == 3 else images.mean(axis=3, keepdims=True).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    rounds = np.random.default_rng(1).permutation(np.repeat(list(SPLITS), [sizes[part] for part in SPLITS]))
    parts = np.repeat(rounds, num_classes)
    for part in SPLITS:
        np.save(folder / f"{part}.npy", np.flatnonzero(parts == part))
    pixels = images[parts == "train"].reshape(-1, channels) / 255
    meta = Meta(
        dataset=dataset,
        classes=[f"c{label}" for label in range(num_classes)],
        image_size=image_size,
        channels=channels,
        counts={part: [sizes[part]] * num_classes for part in SPLITS},
        mean=pixels.mean(axis=0).tolist(),
        std=pixels.std(axis=0).tolist(),
        checksums={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.npy"))},
    )
    write_meta(folder, meta)
    return meta
