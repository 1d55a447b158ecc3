"""The facts about a prepared dataset: meta.json, and the names of its images. This module does not import torch."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fkt.core.errors import CorruptData
from fkt.core.files import write_json
from fkt.core.seals import check_files, restored_by, with_digest, without_digest

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


def load_meta(prepared: Path, *names: str) -> Meta:
    """Read meta.json of a prepared folder, and compare the files ``names`` with its checksums.

    Raise CorruptData if one of them, or meta.json, is missing or damaged.
    """
    path = prepared / "meta.json"
    if not path.is_file():
        raise CorruptData(f"{path} is missing; run 'dvc repro prepare'")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        meta = Meta(**without_digest(content))
    except (AttributeError, ValueError, TypeError) as error:  # not JSON, or other fields
        remedy = restored_by(path, "prepare")
        raise CorruptData(f"{path} is damaged or was written by another version ({error}); {remedy}") from error
    listed = {name: meta.checksums[name] for name in names if name in meta.checksums}
    check_files(prepared, listed, restored_by(prepared, "prepare"))
    return meta


def write_meta(prepared: Path, meta: Meta) -> None:
    """Write meta.json of a prepared folder, with a checksum of its own content."""
    write_json(prepared / "meta.json", with_digest(asdict(meta)))


def load_names(prepared: Path) -> list[str]:
    """Return the names of all images of a prepared folder, in the order of images.npy.

    A name is the path of the image file relative to the raw folder, exactly as found, or split and row in the raw
    arrays (``test 17``, from 0). Raise CorruptData if names.json is missing or damaged.
    """
    path = prepared / "names.json"
    load_meta(prepared, path.name)
    names: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return names
