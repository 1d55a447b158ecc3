"""The files of a source: which are images, which are left out and counted, and the list of those that are read."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SplitName
from fkt.raw.source import Pixels, Raw, decode_file, image_suffixes

CLASS_NAMES = "classes.csv"
"""A file of the source with names for its classes; see fkt.raw.table."""
PART_NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of each part, in lower case: of its folder, or in the column split of a table."""
Listed = tuple[SplitName, int, Path, Path]
"""The part and the label of an image, the folder that its path in ``Raw.below`` starts from, and its file."""


def from_files(
    root: Path,
    classes: Sequence[str],
    files: Sequence[Listed],
    origins: Mapping[str, str],
    notes: dict[str, Any],
    max_pixels: int,
) -> Raw:
    """Build a Raw of image files, at least one."""
    parts, labels, folders, paths = zip(*files, strict=True)

    def load(index: int, channels: int) -> Pixels:
        return decode_file(paths[index], channels, max_pixels=max_pixels)

    return Raw(
        classes=list(classes),
        names=[path.relative_to(root).as_posix() for path in paths],
        labels=np.array(labels, dtype=np.int64),
        parts=np.array(parts),
        load=load,
        origins=origins,
        notes=notes,
        below=[path.relative_to(folder).as_posix() for folder, path in zip(folders, paths, strict=True)],
    )


def files_below(folder: Path, follow_links: bool) -> tuple[list[Path], list[Path]]:
    """Return all regular files below a folder, and the links, pipes and devices that are left out, both sorted.

    Hidden folders are left out, and no link is followed to a folder that it is in. The folder may be a link.
    Raises CorruptData for a folder without permission to read it.
    """
    files, left = list[Path](), list[Path]()
    waiting = [(folder, frozenset([folder.resolve()]))]
    while waiting:
        here, above = waiting.pop()
        try:
            entries = list(os.scandir(here)) if here.is_dir() else []
        except PermissionError as error:
            raise CorruptData(f"{here}: no permission to read the folder; change that, or move it away") from error
        for entry in entries:
            path = Path(entry)
            if not entry.is_dir(follow_symlinks=follow_links):
                (files if entry.is_file(follow_symlinks=follow_links) else left).append(path)
            elif not is_hidden(entry.name):
                real = path.resolve() if follow_links else path
                if not (follow_links and any(one.is_relative_to(real) for one in above)):
                    waiting.append((path, above | {real}))
    return sorted(files, key=Path.as_posix), sorted(left, key=Path.as_posix)  # the same order on every platform


def visible_folders(folder: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name."""
    found = [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    return sorted(found, key=lambda path: path.name)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left out."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(path: Path) -> bool:
    """Return whether the name of a file is that of an image that is read."""
    return not is_hidden(path.name) and path.suffix.lower() in image_suffixes()


def ignored_note(root: Path, ignored: Sequence[Path], why: str) -> dict[str, Any]:
    """Return the note on ignored files: the reason, and by extension their number and the first of them."""
    kinds: dict[str, tuple[int, str]] = {}
    for path in ignored:
        kind = "hidden" if is_hidden(path.name) else path.suffix.lower() or "without extension"
        if path.is_symlink() or not path.is_file():
            kind = "link" if path.is_symlink() else "pipe or device"
        count, first = kinds.get(kind, (0, path.relative_to(root).as_posix()))
        kinds[kind] = (count + 1, first)
    return {"ignored_files": {"count": len(ignored), "kinds": kinds, "why": why}} if ignored else {}


def text_of(path: Path) -> str:
    """Return the text of a file in a source. Raises DatasetNotFound if it is missing, CorruptData if not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetNotFound(f"{path} cannot be read ({error.strerror}); correct its path") from error
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
