"""Trees of class folders: what is an image, what is a class, and which part of the source it belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SplitName
from fkt.raw.decode import decode_file
from fkt.raw.source import Pixels, Raw

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .jp2".split()  # noqa: SIM905
)
"""What counts as an image, in lower case; every other file is left out and counted."""

_EXAMPLES = 10


def visible_folders(folder: Path) -> list[Path]:
    """Return the sub-folders that are not hidden, sorted by name."""
    return sorted(
        (path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name)), key=lambda path: path.name
    )


def is_image(path: Path) -> bool:
    """Tell by its name whether a file counts as an image."""
    return not _hidden(path.name) and path.suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder outside hidden folders, sorted alike on every platform; links are followed."""
    return sorted(_walk(folder), key=lambda path: path.as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(parent) + os.sep
        # A link to a folder that holds it would be walked for ever.
        folders[:] = [
            name
            for name in folders
            if not _hidden(name) and not here.startswith(os.path.realpath(os.path.join(parent, name)) + os.sep)
        ]
        yield from (Path(parent, name) for name in names)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def from_files(
    root: Path, classes: Sequence[str], files: Sequence[tuple[SplitName, int, Path]], ignored: Sequence[Path]
) -> Raw:
    """Build a Raw of image files: (part, label, path) of each, and what was left out."""
    names = [path.relative_to(root).as_posix() for _, _, path in files]

    def load(index: int, channels: int) -> Pixels:
        return decode_file(files[index][2], channels)

    return Raw(
        classes=list(classes),
        names=names,
        labels=np.array([label for _, label, _ in files], dtype=np.int64),
        parts=np.array([part for part, _, _ in files]),
        load=load,
        notes=ignored_note(root, ignored, "no images, or in no class folder"),
    )


def ignored_note(root: Path, ignored: Sequence[Path], why: str) -> dict[str, Any]:
    """Return the note on files that were left out: how many, the first of them, and why."""
    if not ignored:
        return {}
    examples = [path.relative_to(root).as_posix() for path in ignored[:_EXAMPLES]]
    return {"ignored_files": {"count": len(ignored), "examples": examples, "why": why}}


def read_classes(
    root: Path,
    parts: Mapping[SplitName, Sequence[Path]],
    layout: str,
    only: Mapping[str, str] | None = None,
) -> Raw:
    """Read class folders: ``parts`` names, for each part, the folders that hold them. Images may lie deeper down.

    only: the class folders that are used, with the names that the classes get; None uses all, by their own names.
    Raises DatasetNotFound where these are no class folders, CorruptData where the parts contradict each other.
    """
    found = {part: _class_names(folders, only) for part, folders in parts.items()}
    train = sorted(found["train"])
    if len(train) < 2:
        seen = f"one class folder ('{train[0]}')" if train else "no class folders"
        hint = f"; if the classes are inside, set prepare.source to {root / train[0]}" if len(train) == 1 else ""
        raise DatasetNotFound(f"{parts['train'][0]} holds {seen}, two or more are needed{hint}. Expected: {layout}")
    for part, names in found.items():
        if not names:
            _no_loose_images(parts[part], layout)
        if unknown := sorted(names - set(train)):
            raise CorruptData(
                f"{parts[part][0]} has classes that {parts['train'][0]} has not: {', '.join(unknown)}; "
                "remove these folders or add training images of them"
            )
    files: list[tuple[SplitName, int, Path]] = []
    ignored: list[Path] = []
    for part, folders in parts.items():
        for folder in folders:
            ignored += sorted(path for path in folder.iterdir() if path.is_file())
            for label, name in enumerate(train):
                below = files_below(folder / name)
                files += [(part, label, path) for path in below if is_image(path)]
                ignored += [path for path in below if not is_image(path)]
    _no_empty_class(parts["train"][0], train, files)
    return from_files(root, [only[name] if only else name for name in train], files, ignored)


def _class_names(folders: Sequence[Path], only: Mapping[str, str] | None) -> set[str]:
    names = {path.name for folder in folders for path in visible_folders(folder)}
    return names if only is None else names & set(only)


def _no_loose_images(folders: Sequence[Path], layout: str) -> None:
    """Refuse a part that has images and no classes: without it, another one would be cut from the training images."""
    for folder in folders:
        if any(is_image(path) for path in folder.iterdir()):
            raise DatasetNotFound(
                f"{folder} holds images but no class folders, so that nobody knows their classes; put each image into "
                f"the folder of its class, or move it out of the source. Expected: {layout}"
            )


def _no_empty_class(folder: Path, names: Sequence[str], files: Sequence[tuple[SplitName, int, Path]]) -> None:
    filled = {label for part, label, _ in files if part == "train"}
    empty = [name for label, name in enumerate(names) if label not in filled]
    if empty:
        raise CorruptData(
            f"no images in {', '.join(str(folder / name) for name in empty)}; every folder there is taken for a class: "
            f"add images ({', '.join(sorted(IMAGE_SUFFIXES))}) or remove the folder"
        )
