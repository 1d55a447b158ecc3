"""Trees of class folders: someone's own, and what all such trees have in common."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SPLITS, SplitName
from fkt.params import Prepare
from fkt.raw.source import HEIC_REMEDY, HEIC_SUFFIXES, Raw, image_suffixes
from fkt.raw.trees import (
    CLASS_NAMES,
    PART_NAMES,
    Listed,
    files_below,
    from_files,
    ignored_note,
    is_hidden,
    is_image,
    visible_folders,
)

FOLDER_LAYOUT = (
    "<source>/<class>/<images>, or <source>/train/<class>/<images> with or without test/<class>/ and val/<class>/"
)
Parts = Mapping[SplitName, Sequence[Path]]
"""The folders that contain the class folders of each part."""


def read_folder(source: Path, params: Prepare) -> Raw:
    """Read a tree of class folders; see FOLDER_LAYOUT.

    Each folder is a class, and its images may be in subfolders. If the source has a folder train (or training), only
    train, test (testing) and val (valid, validation) are read. The images in val become the validation split.
    """
    require(source, FOLDER_LAYOUT, "Put your own images there, or set prepare.source to their folder")
    folders = visible_folders(source)
    named = {part: [folder for folder in folders if folder.name.lower() in PART_NAMES[part]] for part in SPLITS}
    parts = {part: found for part, found in named.items() if found}
    if "train" not in parts:
        if folders and len(parts) == len(folders):
            names = ", ".join(folder.name for folder in folders)
            raise DatasetNotFound(f"{source} contains {names} but no train folder. Expected: {FOLDER_LAYOUT}")
        if params.groups != "parent_folder":  # all classes may have the same patients
            _check_not_parts(source, folders)
        return read_classes(source, {"train": [source]}, FOLDER_LAYOUT, params)
    for found in parts.values():
        if len(found) > 1:
            raise CorruptData(f"{' and '.join(map(str, found))} are two names of the same part; keep one of them")
    others = [path for path in folders if [path] not in parts.values()]
    return read_classes(source, parts, FOLDER_LAYOUT, params, others=others)


def require(folder: Path, layout: str, where: str) -> None:
    """Raise DatasetNotFound if a folder does not exist. layout, where: what it must contain, and where to get it."""
    if not folder.is_dir():
        raise DatasetNotFound(f"{folder} is not a folder. Expected: {layout}. {where}")


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


def read_classes(
    root: Path,
    parts: Parts,
    layout: str,
    params: Prepare,
    only: Mapping[str, str] | None = None,
    others: Collection[Path] = (),
) -> Raw:
    """Read class folders. others: folders that are not read, except to count their images.

    only: folder name -> class name of the classes that are read; None = all, with their folder names. Raises
    DatasetNotFound if there are no class folders, CorruptData if the parts do not have the same classes.
    """
    names = _class_folders(root, parts, layout, params.follow_links, only)
    files: list[Listed] = []
    ignored: list[Path] = []
    tops = [folder for folders in parts.values() for folder in folders]
    for folder in tops if only else dict.fromkeys([root, *tops]):  # a class list is no file to be named
        ignored += sorted(path for path in folder.iterdir() if path.is_file() and path != root / CLASS_NAMES)
    for part, folders in parts.items():
        for folder in folders:
            for label, name in enumerate(names):
                inside, left = files_below(folder / name, params.follow_links)
                ignored += left
                for path in inside:
                    if is_image(path):
                        files.append((part, label, folder / name, path))
                    else:
                        ignored.append(path)
    links = any(path.is_symlink() for path in ignored)
    filled = {label for part, label, *_ in files if part == "train"}
    if empty := [str(parts["train"][0] / name) for label, name in enumerate(names) if label not in filled]:
        unread = any(path.suffix.lower() in HEIC_SUFFIXES for path in ignored)
        raise CorruptData(
            f"no images in {', '.join(empty)}; every folder there is a class: add images "
            f"({', '.join(sorted(image_suffixes()))}) or remove the folder{f'; {HEIC_REMEDY}' if unread else ''}"
            f"{'; there are links: prepare.follow_links: true follows them' if links else ''}"
        )
    origins: dict[str, str] = {}
    for part, folders in parts.items():
        where = ", ".join(folder.relative_to(root).as_posix() for folder in folders)
        origins[part] = "from the class folders" if where == "." else f"from the folder {where}"
    why = "not an image format that is read, or not in a class folder"
    why += ", or a link (prepare.follow_links: true follows them)" if links else ""
    notes = ignored_note(root, ignored, why)
    if stray := _stray(root, others):
        notes["ignored_folders"] = stray
    classes = [only[name] if only else name for name in names]
    return from_files(root, classes, files, origins, notes, params.max_pixels)


def _class_folders(
    root: Path, parts: Parts, layout: str, follow_links: bool, only: Collection[str] | None
) -> list[str]:
    """Return the names of the class folders, sorted; only: see read_classes. Raises its errors."""
    inside = {part: [path for folder in folders for path in visible_folders(folder)] for part, folders in parts.items()}
    found = {part: {path.name for path in paths if not only or path.name in only} for part, paths in inside.items()}
    names, first = sorted(found["train"]), parts["train"][0]
    if len(names) < 2:
        seen = f"one class folder ('{names[0]}')" if names else "no class folders"
        hint = f"; if the classes are inside, set prepare.source to {root / names[0]}" if names else ""
        raise DatasetNotFound(f"{first} contains {seen}, at least two are needed{hint}. Expected: {layout}")
    read = [path for part, folders in parts.items() for path in (*folders, *inside[part])]
    if linked := [str(path) for path in read if path.is_symlink() and path != root and not follow_links]:
        raise CorruptData(
            f"folders of classes that are links: {', '.join(linked[:5])}; set prepare.follow_links: true, or "
            "'fkt new --follow-links', to follow all links; or put the folders themselves there"
        )
    for part, folders in parts.items():
        loose = [folder for folder in folders if any(is_image(path) for path in folder.iterdir())]
        if loose and not found[part]:  # otherwise this part would be cut from the training images
            raise DatasetNotFound(
                f"{loose[0]} contains images but no class folders; put each image into the folder of its class, or "
                f"move the images out of the source. Expected: {layout}"
            )
        if unknown := sorted(found[part] - found["train"]):
            raise CorruptData(
                f"{folders[0]} has classes that are missing in {first}: {', '.join(unknown)}; "
                "remove these folders, or add training images of these classes"
            )
    return names


def _stray(root: Path, others: Collection[Path]) -> dict[str, int]:
    """Return the number of images in each of the folders ``others``, and in each hidden folder that has any."""
    found = {}
    for parent, folders, _ in os.walk(root):
        for path in [path for name in folders if (path := Path(parent, name)) in others or is_hidden(name)]:
            folders.remove(path.name)
            count = sum(is_image(Path(name)) for _, _, names in os.walk(path) for name in names)
            if count or path in others:
                found[path.relative_to(root).as_posix()] = count
    return found
