"""The image files that a person names: as files, folders, patterns, or in a table."""

import csv
import glob
from collections.abc import Iterable
from pathlib import Path

from fkt.core.errors import CorruptData
from fkt.core.files import one_line
from fkt.raw.trees import files_below, is_image

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
    if path.suffix.lower() == ".csv" and not path.is_dir():
        found = _listed(path)
    elif path.is_dir() or (glob.has_magic(str(path)) and not path.exists()):
        matches = [path] if path.is_dir() else map(Path, sorted(glob.glob(str(path), recursive=True)))
        inside = (files_below(match, follow_links=True) if match.is_dir() else [match] for match in matches)
        found = list(dict.fromkeys(file for files in inside for file in files if is_image(file)))
    else:
        return [path]
    if not found:
        raise CorruptData(
            f"{one_line(str(path))}: no image files and no model there; give images, or a folder that has some"
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
