"""The image files that a person names: as files, folders, patterns, or in a table."""

import glob
from collections.abc import Iterable
from pathlib import Path

from fkt.core.errors import CorruptData
from fkt.core.text import one_line
from fkt.raw.table import read_rows
from fkt.raw.trees import files_below, is_image


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that paths name, in their order.

    A folder stands for the images in it and in its subfolders. A pattern such as ``photos/*.png`` stands for the images
    and folders that match it. A CSV file lists paths in its column ``path``, relative to its own folder. Any other path
    stands for itself, whether or not it is an image. Raises CorruptData if a folder, pattern or table names no image.
    """
    return [file for path in paths for file in _named(Path(path))]


def _named(path: Path) -> list[Path]:
    if path.suffix.lower() == ".csv" and not path.is_dir():
        found = [path.parent / row["path"] for _, row in read_rows(path, ["path"]) if row["path"]]
    elif path.is_dir() or (glob.has_magic(str(path)) and not path.exists()):
        matches = [path] if path.is_dir() else map(Path, sorted(glob.glob(str(path), recursive=True)))
        inside = (files_below(match, follow_links=True)[0] if match.is_dir() else [match] for match in matches)
        found = list(dict.fromkeys(file for files in inside for file in files if is_image(file)))
    else:
        return [path]
    if not found:
        raise CorruptData(
            f"{one_line(str(path))}: no images found; give images, or a folder with images (or first a model)"
        )
    return found
