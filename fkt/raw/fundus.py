"""APTOS 2019: fundus photographs of all sizes, their grades from a table, their black borders cropped."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.params import Prepare
from fkt.raw.source import Pixels, Raw, as_channels, decode_file
from fkt.raw.table import read_rows
from fkt.raw.trees import Listed, from_files, ignored_note

GRADES = ["No DR", "Mild", "Moderate", "Severe", "Proliferative DR"]
LAYOUT = "<source>/train.csv (columns id_code, diagnosis) and <source>/train_images/<id_code>.png"
_WHERE = "Download it from Kaggle, competition 'aptos2019-blindness-detection', and unpack it there"

_DARK = 10
"""A pixel is border if its brightest channel is at most this. Sensor noise is lower."""
_SPECK = 0.01
"""A row or column belongs to the disc if more than this share of it is bright. Single hot pixels do not count."""
_LEAST = 0.1
"""A box of less than this share of the image is not the disc: the photograph is too dark, and is not cropped."""
_BORDER = 0.05
"""A border is at least this share of the height or of the width. Less may be the dim edge of the retina."""


def read_aptos(source: Path, params: Prepare) -> Raw:
    """Read the 3,662 graded photographs of APTOS 2019. The grades of the test images are not public.

    The black border around the disc is cropped (see crop_black_border). Its width differs between cameras, and cameras
    differ between clinics, so that a network could guess the grade from the border without the eye.
    """
    table = source / "train.csv"
    if not table.is_file() or not (source / "train_images").is_dir():
        raise DatasetNotFound(f"APTOS 2019 is not in {source}. Expected: {LAYOUT}. {_WHERE}")
    folder = source / "train_images"
    files: list[Listed] = [
        ("train", grade, folder, folder / f"{name}.png") for name, grade in sorted(_grades(table).items())
    ]
    listed = {path for *_, path in files}
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path not in listed)
    origins = {"train": f"from {table.name}; the grades of the competition's test images are not public"}
    notes = ignored_note(source, others, f"not listed in {table.name}")
    notes["border"] = "the black border around the eye"
    return replace(from_files(source, GRADES, files, origins, notes, params.max_pixels), crop=crop_black_border)


def decode_fundus(path: Path, channels: int) -> Pixels:
    """Decode a fundus photograph to (H, W, channels) uint8 without its black border; see decode_file."""
    return as_channels(crop_black_border(decode_file(path, 3)), channels)


def crop_black_border(image: Pixels) -> Pixels:
    """Crop an RGB fundus photograph (H, W, 3) uint8 to a square around its disc. Returns a view, not a copy.

    The disc is in every row and column of which more than 1 % is brighter than 10 in some channel. The square is as
    large as the longer side of the disc, or smaller where the image ends: a squeezed photograph, whose disc is an
    ellipse, loses nothing when it is then cropped to a square. A photograph without a border is not cropped, and
    neither is one of which less than a tenth would be left.
    """
    bright = image.max(axis=2) > _DARK
    rows = np.flatnonzero(bright.mean(axis=1) > _SPECK)
    columns = np.flatnonzero(bright.mean(axis=0) > _SPECK)
    if len(rows) == 0 or len(columns) == 0:
        return image
    disc = [(int(found[0]), int(found[-1]) + 1) for found in (rows, columns)]
    if (disc[0][1] - disc[0][0]) * (disc[1][1] - disc[1][0]) < _LEAST * bright.size:
        return image
    longer = max(stop - start for start, stop in disc)
    top, bottom = _widened(*disc[0], longer, image.shape[0])
    left, right = _widened(*disc[1], longer, image.shape[1])
    if bottom - top > (1 - _BORDER) * image.shape[0] and right - left > (1 - _BORDER) * image.shape[1]:
        return image
    return image[top:bottom, left:right]


def _widened(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    """Return a range of ``length`` around another one, moved or cut so that it is within 0 ... limit."""
    first = max(0, min(start - (length - (stop - start)) // 2, limit - length))
    return first, min(first + length, limit)


def _grades(table: Path) -> dict[str, int]:
    """Read id -> grade, and check every line."""
    grades: dict[str, int] = {}
    for line, row in read_rows(table, ("id_code", "diagnosis")):
        name, text = row["id_code"], row["diagnosis"]
        if not name or text not in ("0", "1", "2", "3", "4"):
            raise CorruptData(f"{table}, line {line}: id_code '{name}', diagnosis '{text}'; expected a grade 0 to 4")
        if grades.setdefault(name, int(text)) != int(text):
            raise CorruptData(f"{table}, line {line}: id_code '{name}' has two grades; keep one")
    if not grades:
        raise CorruptData(f"{table} lists no images; download it again. {_WHERE}")
    return grades
