"""What the images of a source are like, found with the decoder of the stage prepare."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, plural
from fkt.core.files import one_line
from fkt.raw.datasets import source_folder
from fkt.raw.pixels import decode_into, surveyed
from fkt.raw.source import Raw
from fkt.raw.splits import Ints, conflicts, duplicate_groups, limited

SIDE = 32
"""Images are compared at this size, at which different photographs are never equal."""
MOST_BYTES = 2e9
"""Of larger folders, a part of each class is decoded. So much takes about a minute on two cores."""
LEAST_SAMPLE = 20
"""Fewest images of a class and split that are decoded."""
_SERIES = re.compile(
    r"(?:patient|subject|subj|person|case|animal|plant|specimen|scene|site|slide|video|clip|burst|series)[-_ ]?\d+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Images:
    """The images of a source, and what decoding M of them has shown."""

    raw: Raw
    rows: Ints
    """(M,) positions in ``raw`` of the images that were decoded, except those below."""
    sizes: Ints
    """(M, 2) heights and widths."""
    color: NDArray[np.bool_]
    """(M,) whether an image has a pixel that is not gray."""
    copies: Ints
    """(M,) equal numbers for identical images."""
    unreadable: dict[str, str]
    """Name -> reason."""
    conflicting: list[list[str]]
    """Names of identical images of different classes."""
    is_sample: bool
    """Whether prepare will read images that were not decoded."""

    @property
    def counts(self) -> Ints:
        """(K,) image files of each class."""
        return np.bincount(self.raw.labels, minlength=len(self.raw.classes))

    @property
    def formats(self) -> Counter[str]:
        """Number of files by suffix."""
        return Counter(PurePosixPath(name).suffix.lower() for name in self.raw.names)


def look(raw: Raw, source: str | None, limit: int | None, seed: int) -> Images:
    """Decode the images that the stage prepare will read, or as many of each class as MOST_BYTES allows.

    source, limit, seed: source, limit_per_class and split_seed of prepare. Raises CorruptData if no image can be read.
    """
    folder = source_folder("folder", source)
    rows = np.arange(len(raw)) if limit is None else limited(raw.labels, raw.parts, limit, seed)
    count = len(rows)
    size = sum(os.path.getsize(folder / raw.names[row]) for row in rows.tolist())
    if size > MOST_BYTES:
        largest = Counter(zip(raw.parts[rows].tolist(), raw.labels[rows].tolist(), strict=True)).most_common(1)[0][1]
        sample = max(LEAST_SAMPLE, int(largest * MOST_BYTES / size))
        rows = rows[limited(raw.labels[rows], raw.parts[rows], sample, seed)]
    watched, sizes, color, _ = surveyed(raw)
    pixels = np.zeros((len(rows), SIDE, SIDE, 3), dtype=np.uint8)
    digests, failures = decode_into(pixels, watched, rows, "stretch")
    if len(failures) == len(rows):
        example = f"{one_line(raw.names[rows[0]])}: {failures[0]}"
        raise CorruptData(f"none of the {plural(len(rows), 'image')} in {folder} can be read, such as {example}")
    good = np.setdiff1d(np.arange(len(rows)), list(failures))
    copies = duplicate_groups([digests[row] for row in good.tolist()])
    mixed = conflicts(copies, raw.labels[rows[good]])
    stay = np.setdiff1d(np.arange(len(good)), np.concatenate([*mixed, []]).astype(np.int64))
    kept = rows[good[stay]]
    return Images(
        raw=raw,
        rows=kept,
        sizes=sizes[kept],
        color=color[kept],
        copies=copies[stay],
        unreadable={raw.names[rows[row]]: reason for row, reason in sorted(failures.items())},
        conflicting=[[raw.names[row] for row in rows[good[group]].tolist()] for group in mixed],
        is_sample=len(rows) < count,
    )


def suspected_groups(raw: Raw) -> tuple[str, str] | None:
    """Return what may group the images, such as patients, and the value of --groups for it; None: nothing seen."""
    if raw.columns:
        names = [name for name, cells in raw.columns.items() if name not in ("path", "label", "split")
                 and len(raw.classes) < len(set(cells)) < len(cells)]  # fmt: skip
        return (f"the table has the column '{names[0]}'", names[0]) if names else None
    folders = [str(PurePosixPath(path).parent) for path in raw.below or ()]
    inside = [folder for folder in folders if folder != "."]
    if len(set(inside)) > 1 and len(set(inside)) < len(inside):
        return f"{len(set(inside))} subfolders of the class folders, such as {min(inside)}", "parent-folder"
    paths = [PurePosixPath(name) for name in raw.names]
    found = [match[0].lower() for path in paths if (match := _SERIES.search(path.stem))]
    if len(found) > len(paths) / 2 and len(set(found)) < len(found):
        word = re.split(r"[-_ ]?\d", min(found))[0]
        return f"{len(set(found))} names such as '{min(found)}' in the file names", rf"'(?i)({word}[-_ ]?\d+)'"
    return None
