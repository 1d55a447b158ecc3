"""Readers of the datasets that come as trees of class folders: folder, intel and imagenet100."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SPLITS, SplitName
from fkt.raw.folders import read_classes, visible_folders
from fkt.raw.source import Raw

_PART_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
FOLDER_LAYOUT = (
    "<source>/<class>/<images>, or <source>/train/<class>/<images> with or without test/<class>/ and val/<class>/"
)
INTEL_LAYOUT = "<source>/seg_train/seg_train/<class>/<images> and <source>/seg_test/seg_test/<class>/<images>"
IMAGENET_LAYOUT = (
    "<source>/train/<wnid>/<images>, <source>/val/<wnid>/<images> and <source>/classes.txt (or imagenet100.txt), "
    "one wnid a line, with or without a name after it; or Kaggle's train.X1 ... train.X4, val.X and Labels.json"
)


def read_folder(source: Path, download: bool) -> Raw:
    """Read any tree of class folders; see FOLDER_LAYOUT.

    Each folder is a class, however deep its images lie. Where the source has a folder train (or training), only
    train, test (testing) and val (valid, validation) are read; a val folder is the validation split as it is.
    """
    _require(source, FOLDER_LAYOUT, "Put your own images there, or set prepare.source to where they are")
    parts: dict[SplitName, list[Path]] = {}
    folders = visible_folders(source)
    for folder in folders:
        if (part := _PART_NAMES.get(folder.name.lower())) is not None:
            parts.setdefault(part, []).append(folder)
    if "train" not in parts:
        if parts and len(parts) == len(folders):
            names = ", ".join(folder.name for folder in folders)
            raise DatasetNotFound(f"{source} holds {names} but no train folder. Expected: {FOLDER_LAYOUT}")
        _not_parts(source, folders)
        parts = {"train": [source]}
    doubled = [str(folder) for several in parts.values() if len(several) > 1 for folder in several]
    if doubled:
        raise CorruptData(f"{' and '.join(doubled)} are the same part under two names; keep one")
    return read_classes(source, {part: parts[part] for part in SPLITS if part in parts}, FOLDER_LAYOUT)


def _not_parts(source: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that all hold the same two or more sub-folders: those are the classes, these are parts."""
    inner = [tuple(path.name for path in visible_folders(folder)) for folder in folders]
    if len(inner) > 1 and len(inner[0]) > 1 and len(set(inner)) == 1:
        raise DatasetNotFound(
            f"the folders {', '.join(folder.name for folder in folders)} in {source} all hold the same sub-folders "
            f"({', '.join(inner[0])}), so they are parts of a dataset, not classes; "
            f"merge them or name them train, test and val. Expected: {FOLDER_LAYOUT}"
        )


def read_intel(source: Path, download: bool) -> Raw:
    """Read Intel Image Classification (6 classes, 14,034 training and 3,000 test images); seg_pred has no labels."""
    where = "Get it from Kaggle, 'puneet6060/intel-image-classification', and unpack it there"
    _require(source, INTEL_LAYOUT, where)
    parts: dict[SplitName, list[Path]] = {}
    names: tuple[tuple[SplitName, str], ...] = (("train", "seg_train"), ("test", "seg_test"))
    for part, name in names:
        folder = source / name
        _require(folder, INTEL_LAYOUT, where)
        parts[part] = [folder / name if (folder / name).is_dir() else folder]
    return read_classes(source, parts, INTEL_LAYOUT)


def read_imagenet100(source: Path, download: bool) -> Raw:
    """Read a subset of ImageNet: the listed classes alone; ImageNet's validation images are the test set."""
    where = "Take it from ImageNet (image-net.org, ILSVRC2012), or from Kaggle, 'ambityga/imagenet100'"
    _require(source, IMAGENET_LAYOUT, where)
    listed = _listed_classes(source, where)
    train = _folders(source, "train") or _folders(source, "train.X*")
    held = _folders(source, "val") or _folders(source, "val.X")
    if not train or not held:
        raise DatasetNotFound(
            f"no {'validation' if train else 'training'} folder in {source}. Expected: {IMAGENET_LAYOUT}. {where}"
        )
    for part, folders in (("training", train), ("validation", held)):
        present = {path.name for folder in folders for path in visible_folders(folder)}
        if absent := sorted(set(listed) - present):
            raise CorruptData(
                f"{len(absent)} of {len(listed)} listed classes have no {part} folder in {source}: "
                f"{', '.join(absent[:20])}; add them or take them off the list"
            )
    return read_classes(source, {"train": train, "test": held}, IMAGENET_LAYOUT, only=listed)


def _folders(source: Path, pattern: str) -> list[Path]:
    return sorted(path for path in source.glob(pattern) if path.is_dir())


def _listed_classes(source: Path, where: str) -> dict[str, str]:
    """Read wnid -> name from the class list; a class without a name is called by its wnid."""
    for name in ("classes.txt", "imagenet100.txt", "Labels.json"):
        path = source / name
        if not path.is_file():
            continue
        text = _text(path)
        if path.suffix == ".json":
            listed = _json_names(path, text)
        else:
            lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and line[0] != "#"]
            listed = {line[0]: line[-1].strip() for line in lines}
        names = list(listed.values())
        twice = {label for label in names if names.count(label) > 1}  # ImageNet has two classes 'crane'
        return {wnid: f"{label} ({wnid})" if label in twice else label for wnid, label in listed.items()}
    raise DatasetNotFound(f"no class list in {source}. Expected: {IMAGENET_LAYOUT}. {where}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error


def _json_names(path: Path, text: str) -> dict[str, str]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CorruptData(f"{path} is not JSON ({error}); get it again") from error
    if not isinstance(content, dict):
        raise CorruptData(f"{path} is not an object of wnid: name; get it again")
    return {str(wnid): str(label) for wnid, label in content.items()}


def _require(folder: Path, layout: str, where: str) -> None:
    if not folder.is_dir():
        raise DatasetNotFound(f"{folder} is not a folder. Expected: {layout}. {where}")
