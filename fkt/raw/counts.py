"""How many images a comparison has, without preparing them: from the prepared data, the table, or a list of files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from fkt.core.runs import prepared_path
from fkt.data.meta import SPLITS, SplitName, load_meta
from fkt.params import Params, Prepare
from fkt.raw.datasets import DATASETS, read_source
from fkt.raw.listing import changes


@dataclass(frozen=True)
class Counts:
    """Number of images of each split."""

    train: list[int]
    """Of each class."""
    val: int
    test: int

    @property
    def total(self) -> int:
        """Images of all splits."""
        return sum(self.train) + self.val + self.test


def image_counts(params: Params) -> Counts:
    """Return the number of images that the stage prepare leaves, about: identical images and groups are not known yet.

    Raises DatasetNotFound or CorruptData if they are needed to know, and not as expected.
    """
    prepared = prepared_path(params.dataset)
    if (prepared / "meta.json").is_file() and _is_current(params) and not changes(params):
        counts = load_meta(prepared).counts
        return Counts(counts["train"], sum(counts["val"]), sum(counts["test"]))
    source: dict[SplitName, list[int]]
    if (known := DATASETS[params.dataset].known) is not None:
        classes, train, test = known
        source = {"train": _evenly(train, classes), "test": _evenly(test, classes)}
    else:
        raw = read_source(params.dataset, params.prepare.model_copy(update={"download": False}))
        classes = len(raw.classes)
        source = {part: np.bincount(raw.labels[raw.parts == part], minlength=classes).tolist() for part in SPLITS}
    return counted(source, params.prepare)


def counted(source: Mapping[SplitName, Sequence[int]], prepare: Prepare) -> Counts:
    """Return what is left of the images of each class in the source's parts, as fkt.raw.splits cuts them."""
    limit = prepare.limit_per_class
    parts = {part: [min(number, limit or number) for number in numbers] for part, numbers in source.items()}
    train = parts["train"]
    cuts: tuple[tuple[SplitName, float], ...] = (("test", prepare.test_fraction), ("val", prepare.val_fraction))
    for part, fraction in cuts:
        if not sum(parts.get(part, [])):
            parts[part] = [int(number * fraction + 0.5) for number in train]
            train = [number - cut for number, cut in zip(train, parts[part], strict=True)]
    return Counts(train, sum(parts["val"]), sum(parts["test"]))


def _evenly(number: int, classes: int) -> list[int]:
    return [len(range(label, number, classes)) for label in range(classes)]


def _is_current(params: Params) -> bool:
    """Return whether dvc.lock says that the prepared data were made with the present settings."""
    path = Path("dvc.lock")
    stages = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["stages"] if path.is_file() else {}
    made = stages.get(f"prepare@{params.dataset}", {}).get("params", {}).get("params.yaml", {}).get("prepare")
    return bool(made == params.prepare.model_dump(mode="json"))
