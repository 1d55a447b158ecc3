"""The final split of a dataset: the source's own parts where it has them, cuts from train where it has not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, ParamsError
from fkt.data.keys import key_seed
from fkt.params import Prepare
from fkt.raw.splits import Ints, copies_elsewhere, stratified_split

DROPPED = "dropped"
"""The part of images that no split keeps: copies of test or validation images among the training images."""


def partition(
    labels: Ints, groups: Ints, parts: NDArray[np.str_], params: Prepare, classes: Sequence[str]
) -> NDArray[np.str_]:
    """Assign every image to train, val, test or dropped: (N,) str.

    parts: (N,) the source's own split. Test and validation images of the source stay what they are; their copies
    in train (or of test images in val) are dropped. A missing test set is cut from train by ``test_fraction``, then a
    missing validation set by ``val_fraction`` of what is left.
    Raises CorruptData for a class without training images, ParamsError for a cut that would empty a class.
    """
    final = np.where(copies_elsewhere(groups, parts), DROPPED, parts)
    absent = np.setdiff1d(np.arange(len(classes)), labels[final == "train"])
    if len(absent):
        names = ", ".join(f'"{classes[label]}"' for label in absent)
        raise CorruptData(f"no training images of class {names}; add some, or remove the class from the source")
    if not (final == "test").any():
        _cut(final, labels, groups, "test", params.test_fraction, params.split_seed, classes)
    if not (final == "val").any():
        _cut(final, labels, groups, "val", params.val_fraction, params.split_seed, classes)
    return final


def _cut(
    final: NDArray[np.str_],
    labels: Ints,
    groups: Ints,
    part: str,
    fraction: float,
    split_seed: int,
    classes: Sequence[str],
) -> None:
    """Move a stratified share of train to another part, in place."""
    train = np.flatnonzero(final == "train")
    rest, held = stratified_split(labels[train], groups[train], fraction, key_seed(part, split_seed))
    left = np.bincount(labels[train[rest]], minlength=len(classes))
    cut = np.bincount(labels[train[held]], minlength=len(classes))
    problems = []
    for label in np.flatnonzero((left == 0) | (cut == 0)).tolist():
        mine = train[labels[train] == label]
        problems.append(
            f'prepare.{part}_fraction: {fraction} of the {len(mine)} images of class "{classes[label]}" '
            f"({len(np.unique(groups[mine]))} of them distinct) leaves {left[label]} for train and {cut[label]} for "
            f"{part}; both need one: add images of that class, or {_advice(int(cut[label]))}"
        )
    if problems:
        raise ParamsError("\n       ".join(problems))
    final[train[held]] = part


def _advice(cut: int) -> str:
    return "raise the fraction or prepare.limit_per_class" if cut == 0 else "lower the fraction"
