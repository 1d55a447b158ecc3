"""Intel Image Classification and ImageNet-100: trees of class folders, in the layouts in which Kaggle has them."""

import json
from pathlib import Path

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import SplitName
from fkt.params import Prepare
from fkt.raw.folders import read_classes, require
from fkt.raw.source import Raw
from fkt.raw.trees import text_of, visible_folders

INTEL_LAYOUT = "<source>/seg_train/seg_train/<class>/<images> and <source>/seg_test/seg_test/<class>/<images>"
IMAGENET_LAYOUT = (
    "<source>/train/<wnid>/<images>, <source>/val/<wnid>/<images> and <source>/classes.txt (or imagenet100.txt), "
    "each line a wnid with or without a name after it; or Kaggle's train.X1 ... train.X4, val.X and Labels.json"
)


def read_intel(source: Path, params: Prepare) -> Raw:
    """Read Intel Image Classification: 6 classes, 14,034 training and 3,000 test images. seg_pred has no labels."""
    parts: dict[SplitName, list[Path]] = {"train": [source / "seg_train"], "test": [source / "seg_test"]}
    for folder in (source, *parts["train"], *parts["test"]):
        where = "Download it from Kaggle, 'puneet6060/intel-image-classification', and unpack it there"
        require(folder, INTEL_LAYOUT, where)
    for folders in parts.values():
        if (inner := folders[0] / folders[0].name).is_dir():
            folders[0] = inner
    return read_classes(source, parts, INTEL_LAYOUT, params)


def read_imagenet100(source: Path, params: Prepare) -> Raw:
    """Read the listed classes of ImageNet. The validation images of ImageNet are the test set."""
    where = "Download ImageNet (image-net.org, ILSVRC2012), or Kaggle's 'ambityga/imagenet100'"
    require(source, IMAGENET_LAYOUT, where)
    lists = [source / name for name in ("classes.txt", "imagenet100.txt", "Labels.json")]
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        raise DatasetNotFound(f"no class list in {source}. Expected: {IMAGENET_LAYOUT}. {where}")
    listed = _listed_classes(path)
    train, held = (
        sorted(path for path in source.glob(name) if path.is_dir())
        or sorted(path for path in source.glob(f"{name}.X*") if path.is_dir())
        for name in ("train", "val")
    )
    for part, folders in (("training", train), ("validation", held)):
        if not folders:
            raise DatasetNotFound(f"no {part} folder in {source}. Expected: {IMAGENET_LAYOUT}. {where}")
        present = {path.name for folder in folders for path in visible_folders(folder)}
        if absent := sorted(set(listed) - present):
            raise CorruptData(
                f"{len(absent)} of {len(listed)} listed classes have no {part} folder in {source}: "
                f"{', '.join(absent[:20])}; add the folders, or remove the classes from the list"
            )
    return read_classes(source, {"train": train, "test": held}, IMAGENET_LAYOUT, params, only=listed)


def _listed_classes(path: Path) -> dict[str, str]:
    """Read wnid -> name from a class list. A class without a name is named by its wnid."""
    text = text_of(path)
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
