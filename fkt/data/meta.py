"""The facts about a prepared dataset: meta.json, and the names of its images. This module does not import torch."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fkt.core.errors import CorruptData
from fkt.core.files import write_json

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Meta:
    """The facts about a prepared dataset."""

    dataset: str
    classes: list[str]
    """Class names. A label is a position in this list."""
    image_size: int
    channels: int
    counts: dict[str, list[int]]
    """Number of images of each class, for each split."""
    mean: list[float]
    """Mean of the training images for each channel, in [0, 1]."""
    std: list[float]
    """Standard deviation of the training images for each channel, in [0, 1]."""
    fit: str = "crop"
    """How images became squares: prepare.fit."""
    checksums: dict[str, str] = field(default_factory=dict)
    """sha256 of each other file of the folder."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Findings of the preparation; ``fkt.raw.notes.data_card`` returns them as text."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


def load_meta(prepared: Path) -> Meta:
    """Read meta.json of a prepared folder. Raise CorruptData if it is missing, cut short or of another version."""
    path = prepared / "meta.json"
    if not path.is_file():
        raise CorruptData(f"{path} is missing; run 'dvc repro prepare'")
    try:
        return Meta(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # not JSON, or other fields
        raise CorruptData(
            f"{path} was cut short or written by another version ({error}); run 'dvc repro prepare'"
        ) from error


def write_meta(prepared: Path, meta: Meta) -> None:
    """Write meta.json of a prepared folder."""
    write_json(prepared / "meta.json", asdict(meta))


def load_names(prepared: Path) -> list[str]:
    """Return the names of all images of a prepared folder, in the order of images.npy.

    A name is the path of the image file relative to the raw folder, exactly as found, or split and row in the raw
    arrays (``test 17``, from 0). Raise CorruptData if names.json is missing or cut short.
    """
    path = prepared / "names.json"
    try:
        names: list[str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptData(f"{path} cannot be read ({error}); run 'dvc repro prepare'") from error
    return names
