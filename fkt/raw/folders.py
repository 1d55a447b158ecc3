"""Readers of trees of class folders: folder, intel and imagenet100."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.core.files import one_line
from fkt.data.meta import SPLITS, SplitName
from fkt.params import Prepare
from fkt.raw.source import HEIC_REMEDY, HEIC_SUFFIXES, Pixels, Raw, decode_file, image_suffixes

FOLDER_LAYOUT = (
    "<source>/<class>/<images>, or <source>/train/<class>/<images> with or without test/<class>/ and val/<class>/"
)
INTEL_LAYOUT = "<source>/seg_train/seg_train/<class>/<images> and <source>/seg_test/seg_test/<class>/<images>"
IMAGENET_LAYOUT = (
    "<source>/train/<wnid>/<images>, <source>/val/<wnid>/<images> and <source>/classes.txt (or imagenet100.txt), "
    "each line a wnid with or without a name after it; or Kaggle's train.X1 ... train.X4, val.X and Labels.json"
)
CLASS_NAMES = "classes.csv"
"""A file of the source with names for its classes; see fkt.raw.table."""
PART_NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of the folder of each part, in lower case."""


def read_folder(source: Path, params: Prepare) -> Raw:
    """Read a tree of class folders; see FOLDER_LAYOUT.

    Each folder is a class, and its images may be in subfolders. If the source has a folder train (or training), only
    train, test (testing) and val (valid, validation) are read. The images in val become the validation split.
    """
    _require(source, FOLDER_LAYOUT, "Put your own images there, or set prepare.source to their folder")
    folders = visible_folders(source)
    named = {part: [folder for folder in folders if folder.name.lower() in PART_NAMES[part]] for part in SPLITS}
    parts = {part: found for part, found in named.items() if found}
    if "train" not in parts:
        if folders and len(parts) == len(folders):
            names = ", ".join(folder.name for folder in folders)
            raise DatasetNotFound(f"{source} contains {names} but no train folder. Expected: {FOLDER_LAYOUT}")
        if params.groups != "parent_folder":  # all classes may have the same patients
            _check_not_parts(source, folders)
        parts = {"train": [source]}
    for found in parts.values():
        if len(found) > 1:
            raise CorruptData(f"{' and '.join(map(str, found))} are two names of the same part; keep one of them")
    others = [] if parts["train"] == [source] else [path for path in folders if [path] not in parts.values()]
    return _read_classes(source, parts, FOLDER_LAYOUT, params, others=others)


def read_intel(source: Path, params: Prepare) -> Raw:
    """Read Intel Image Classification: 6 classes, 14,034 training and 3,000 test images. seg_pred has no labels."""
    where = "Download it from Kaggle, 'puneet6060/intel-image-classification', and unpack it there"
    _require(source, INTEL_LAYOUT, where)
    parts: dict[SplitName, list[Path]] = {}
    names: dict[SplitName, str] = {"train": "seg_train", "test": "seg_test"}
    for part, name in names.items():
        folder = source / name
        _require(folder, INTEL_LAYOUT, where)
        parts[part] = [folder / name if (folder / name).is_dir() else folder]
    return _read_classes(source, parts, INTEL_LAYOUT, params)


def read_imagenet100(source: Path, params: Prepare) -> Raw:
    """Read the listed classes of ImageNet. The validation images of ImageNet are the test set."""
    where = "Download ImageNet (image-net.org, ILSVRC2012), or Kaggle's 'ambityga/imagenet100'"
    _require(source, IMAGENET_LAYOUT, where)
    listed = _listed_classes(source, where)
    train, held = (
        sorted(path for path in source.glob(name) if path.is_dir())
        or sorted(path for path in source.glob(f"{name}.X*") if path.is_dir())
        for name in ("train", "val")
    )
    if not train or not held:
        part = "validation" if train else "training"
        raise DatasetNotFound(f"no {part} folder in {source}. Expected: {IMAGENET_LAYOUT}. {where}")
    for part, folders in (("training", train), ("validation", held)):
        present = {path.name for folder in folders for path in visible_folders(folder)}
        if absent := sorted(set(listed) - present):
            raise CorruptData(
                f"{len(absent)} of {len(listed)} listed classes have no {part} folder in {source}: "
                f"{', '.join(absent[:20])}; add the folders, or remove the classes from the list"
            )
    return _read_classes(source, {"train": train, "test": held}, IMAGENET_LAYOUT, params, only=listed)


def from_files(
    root: Path,
    classes: Sequence[str],
    files: Sequence[tuple[SplitName, int, Path]],
    origins: Mapping[str, str],
    notes: dict[str, Any],
    max_pixels: int,
    below: Sequence[str] | None = None,
) -> Raw:
    """Build a Raw of image files: (part, label, path) of each. below: see Raw; None: no folder below a class."""

    def load(index: int, channels: int) -> Pixels:
        return decode_file(files[index][2], channels, max_pixels=max_pixels)

    return Raw(
        classes=list(classes),
        names=[path.relative_to(root).as_posix() for _, _, path in files],
        labels=np.array([label for _, label, _ in files], dtype=np.int64),
        parts=np.array([part for part, _, _ in files]),
        load=load,
        origins=origins,
        notes=notes,
        below=[path.name for _, _, path in files] if below is None else below,
    )


def ignored_note(root: Path, ignored: Sequence[Path], why: str) -> dict[str, Any]:
    """Return the note on ignored files: the reason, and by extension their number and the first of them."""
    kinds: dict[str, tuple[int, str]] = {}
    for path in ignored:
        kind = "hidden" if _hidden(path.name) else path.suffix.lower() or "without extension"
        if path.is_symlink() or not path.is_file():
            kind = "link" if path.is_symlink() else "pipe or device"
        count, first = kinds.get(kind, (0, path.relative_to(root).as_posix()))
        kinds[kind] = (count + 1, first)
    return {"ignored_files": {"count": len(ignored), "kinds": kinds, "why": why}} if ignored else {}


def visible_folders(folder: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name."""
    found = [path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name)]
    return sorted(found, key=lambda path: path.name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_image(path: Path) -> bool:
    """Return whether the name of a file is that of an image that is read."""
    return not _hidden(path.name) and path.suffix.lower() in image_suffixes()


def files_below(folder: Path, follow: bool, ignored: list[Path] | None = None) -> list[Path]:
    """Return all regular files below a folder except in hidden folders. The folder may be a link.

    follow: prepare.follow_links; no link is followed to a folder that it is in. ignored: receives the links that are
    left out, pipes and devices. Raises CorruptData for a folder without permission to read it.
    """
    files = list[Path]()
    left = [] if ignored is None else ignored
    waiting = [(folder, frozenset([folder.resolve()]))]
    while waiting:
        here, above = waiting.pop()
        try:
            entries = list(os.scandir(here)) if here.is_dir() else []
        except PermissionError as error:
            raise CorruptData(f"{here}: no permission to read the folder; change that, or move it away") from error
        for entry in entries:
            path = Path(entry)
            if not entry.is_dir(follow_symlinks=follow):
                (files if entry.is_file(follow_symlinks=follow) else left).append(path)
            elif not _hidden(entry.name):
                real = path.resolve() if follow else path
                if not (follow and any(one.is_relative_to(real) for one in above)):
                    waiting.append((path, above | {real} if follow else above))
    return sorted(files, key=lambda path: path.as_posix())  # the same order on every platform


def _stray(root: Path, others: Collection[Path]) -> dict[str, int]:
    """Return the number of images in each of the folders ``others``, and in each hidden folder that has any."""
    found = {}
    for parent, folders, _ in os.walk(root):
        for path in [path for name in folders if (path := Path(parent, name)) in others or _hidden(name)]:
            folders.remove(path.name)
            count = sum(is_image(Path(name)) for _, _, names in os.walk(path) for name in names)
            if count or path in others:
                found[path.relative_to(root).as_posix()] = count
    return found


def _read_classes(
    root: Path,
    parts: Mapping[SplitName, Sequence[Path]],
    layout: str,
    params: Prepare,
    only: Mapping[str, str] | None = None,
    others: Collection[Path] = (),
) -> Raw:
    """Read class folders. parts: the folders that contain them, for each part. others: folders that are not read.

    only: folder name -> class name of the classes that are read; None = all, with their folder names. Raises
    DatasetNotFound if there are no class folders, CorruptData if the parts do not have the same classes.
    """
    found = {
        part: {path.name for folder in folders for path in visible_folders(folder) if not only or path.name in only}
        for part, folders in parts.items()
    }
    train = sorted(found["train"])
    if len(train) < 2:
        seen = f"one class folder ('{train[0]}')" if train else "no class folders"
        hint = f"; if the classes are inside, set prepare.source to {root / train[0]}" if train else ""
        raise DatasetNotFound(f"{parts['train'][0]} contains {seen}, at least two are needed{hint}. Expected: {layout}")
    read = [path for several in parts.values() for top in several for path in (top, *visible_folders(top))]
    if linked := [str(path) for path in read if path.is_symlink() and path != root and not params.follow_links]:
        raise CorruptData(
            f"folders of classes that are links: {', '.join(linked[:5])}; set prepare.follow_links: true, or "
            "'fkt new --follow-links', to follow all links; or put the folders themselves there"
        )
    if odd := [one_line(name) for name in (*train, *(only or {}).values()) if one_line(name) != name]:
        raise CorruptData(
            f"class folders with control characters or bytes that are not UTF-8 in their names: {', '.join(odd)}; "
            f"rename them in {parts['train'][0]}"
        )
    for part, names in found.items():
        loose = [folder for folder in parts[part] if any(is_image(path) for path in folder.iterdir())]
        if loose and not names:  # otherwise this part would be cut from the training images
            raise DatasetNotFound(
                f"{loose[0]} contains images but no class folders; put each image into the folder of its class, or "
                f"move the images out of the source. Expected: {layout}"
            )
        if unknown := sorted(names - set(train)):
            raise CorruptData(
                f"{parts[part][0]} has classes that are missing in {parts['train'][0]}: {', '.join(unknown)}; "
                "remove these folders, or add training images of these classes"
            )
    files: list[tuple[SplitName, int, Path]] = []
    below: list[str] = []
    ignored: list[Path] = []
    tops = [folder for folders in parts.values() for folder in folders]
    for folder in tops if only else dict.fromkeys([root, *tops]):  # a class list is no file to be named
        ignored += sorted(path for path in folder.iterdir() if path.is_file() and path != root / CLASS_NAMES)
    for part, folders in parts.items():
        for folder in folders:
            for label, name in enumerate(train):
                for path in files_below(folder / name, params.follow_links, ignored):
                    if is_image(path):
                        files.append((part, label, path))
                        below.append(path.relative_to(folder / name).as_posix())
                    else:
                        ignored.append(path)
    filled = {label for part, label, _ in files if part == "train"}
    if empty := [str(parts["train"][0] / name) for label, name in enumerate(train) if label not in filled]:
        unread = any(path.suffix.lower() in HEIC_SUFFIXES for path in ignored)
        links = any(path.is_symlink() for path in ignored)
        raise CorruptData(
            f"no images in {', '.join(empty)}; every folder there is a class: add images "
            f"({', '.join(sorted(image_suffixes()))}) or remove the folder{f'; {HEIC_REMEDY}' if unread else ''}"
            f"{'; there are links: prepare.follow_links: true follows them' if links else ''}"
        )
    origins: dict[str, str] = {}
    for part, folders in parts.items():
        inside = ", ".join(folder.relative_to(root).as_posix() for folder in folders)
        origins[part] = "from the class folders" if inside == "." else f"from the folder {inside}"
    why = "not an image format that is read, or not in a class folder"
    if any(path.is_symlink() for path in ignored):
        why += ", or a link (prepare.follow_links: true follows them)"
    notes = ignored_note(root, ignored, why)
    if stray := _stray(root, others):
        notes["ignored_folders"] = stray
    classes = [only[name] if only else name for name in train]
    return from_files(root, classes, files, origins, notes, params.max_pixels, below)


def _check_not_parts(source: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that all contain the same subfolders: these are the classes, and the folders are parts."""
    inner = [tuple(path.name for path in visible_folders(folder)) for folder in folders]
    if len(inner) > 1 and len(inner[0]) > 1 and len(set(inner)) == 1:
        raise DatasetNotFound(
            f"the folders {', '.join(folder.name for folder in folders)} in {source} all contain the same subfolders "
            f"({', '.join(inner[0])}), so they are parts of a dataset, not classes; "
            "merge them or name them train, test and val; or, if the subfolders are patients or the like, set "
            f"prepare.groups: parent_folder. Expected: {FOLDER_LAYOUT}"
        )


def _listed_classes(source: Path, where: str) -> dict[str, str]:
    """Read wnid -> name from the class list. A class without a name is named by its wnid."""
    paths = [source / name for name in ("classes.txt", "imagenet100.txt", "Labels.json")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DatasetNotFound(f"no class list in {source}. Expected: {IMAGENET_LAYOUT}. {where}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    if path.suffix == ".json":
        try:
            listed = {str(wnid): str(label) for wnid, label in json.loads(text).items()}
        except (ValueError, AttributeError) as error:
            raise CorruptData(f"{path} is not a JSON object of wnid: name ({error}); download it again") from error
    else:
        lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and line[0] != "#"]
        listed = {line[0]: line[-1].strip() for line in lines}
    names = list(listed.values())
    twice = {label for label in names if names.count(label) > 1}  # ImageNet has two classes named 'crane'
    return {wnid: f"{label} ({wnid})" if label in twice else label for wnid, label in listed.items()}


def _require(folder: Path, layout: str, where: str) -> None:
    if not folder.is_dir():
        raise DatasetNotFound(f"{folder} is not a folder. Expected: {layout}. {where}")
