"""The image files that a person names: as files, folders, patterns, or in a table."""

import csv
import glob
from collections.abc import Iterable
from pathlib import Path

from fkt.core.errors import CorruptData
from fkt.core.files import one_line
from fkt.raw.folders import images_below
from fkt.raw.source import image_suffixes

COLUMN = "path"
"""Column of a table that names the files."""


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that paths name, in their order.

    A folder stands for the images in it and in its subfolders. A pattern such as ``photos/*.png`` stands for the images
    and folders that match it. A CSV file lists paths in its column ``path``, relative to its own folder. Any other path
    stands for itself, whether or not it is an image. Raises CorruptData if a folder, pattern or table names no image.
    """
    return [file for path in paths for file in _named(Path(path))]


def _named(path: Path) -> list[Path]:
    if path.is_dir():
        found = images_below(path)
    elif path.suffix.lower() == ".csv":
        found = _listed(path)
    elif glob.has_magic(str(path)) and not path.exists():
        matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
        inside = (images_below(match) if match.is_dir() else [match] for match in matches)
        files = (file for files in inside for file in files if file.suffix.lower() in image_suffixes())
        found = list(dict.fromkeys(files))
    else:
        return [path]
    if not found:
        raise CorruptData(
            f"{one_line(str(path))}: no images found; give images, or a folder with images (or first a model)"
        )
    return found


def _listed(table: Path) -> list[Path]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            found = [table.parent / row[COLUMN] for row in reader if row[COLUMN]] if COLUMN in columns else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorruptData(f"{one_line(str(table))} cannot be read as a table ({error}); save it as CSV") from error
    if COLUMN not in columns:
        shown = one_line(", ".join(columns))
        raise CorruptData(f"{one_line(str(table))} has the columns {shown}; name the one with the files '{COLUMN}'")
    return found
