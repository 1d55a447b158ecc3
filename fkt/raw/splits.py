"""Train, val and test: pure functions of labels, duplicate groups and a seed.

A group is a set of images with identical prepared pixels. Groups are numbered 0 to G - 1 in an (N,) array.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, ParamsError, plural
from fkt.data.keys import key_seed
from fkt.params import Prepare

Ints = NDArray[np.int64]
DROPPED = "dropped"
"""The part of images that are in no split: copies of test or validation images among the training images."""
PRECEDENCE = ("test", "val", "train")
"""If copies of an image are in several parts of the source, the first of these keeps them."""


def partition(
    labels: Ints, groups: Ints, parts: NDArray[np.str_], params: Prepare, classes: Sequence[str]
) -> NDArray[np.str_]:
    """Assign every image to train, val, test or dropped: (N,) str.

    parts: (N,) the splits of the source. Its test and validation images stay there, and their copies in train (or
    copies of test images in val) are dropped. A missing test set is cut from train by ``test_fraction``, then a missing
    validation set by ``val_fraction`` of the rest.
    Raises CorruptData for a class without training images, ParamsError for a cut that leaves a class empty.
    """
    final = np.where(copies_elsewhere(groups, parts), DROPPED, parts)
    absent = np.setdiff1d(np.arange(len(classes)), labels[final == "train"])
    if len(absent):
        names = ", ".join(f'"{classes[label]}"' for label in absent)
        raise CorruptData(f"no training images of class {names}; add some, or remove the class from the source")
    for part, fraction in (("test", params.test_fraction), ("val", params.val_fraction)):
        if (final == part).any():
            continue
        train = np.flatnonzero(final == "train")
        rest, held = stratified_split(labels[train], groups[train], fraction, key_seed(part, params.split_seed))
        left, cut = (np.bincount(labels[train[rows]], minlength=len(classes)) for rows in (rest, held))
        problems = []
        for label in np.flatnonzero((left == 0) | (cut == 0)).tolist():
            members = train[labels[train] == label]
            remedy = "lower the fraction" if cut[label] else "raise the fraction or prepare.limit_per_class"
            problems.append(
                f"prepare.{part}_fraction: {fraction} of the {plural(len(members), 'image')} of class "
                f'"{classes[label]}" ({len(np.unique(groups[members]))} of them distinct) leaves {left[label]} for '
                f"train and {cut[label]} for {part}, but both need at least 1; add images of that class, or {remedy}"
            )
        if problems:
            raise ParamsError("\n       ".join(problems))
        final[train[held]] = part
    return final


def stratified_split(labels: Ints, groups: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Hold out a fraction of every class, and never divide a group.

    labels, groups: (N,). fraction: in (0, 1). Of n images of a class, n * fraction (half up) are held out, or fewer if
    no further group fits. A group with several labels counts for its most frequent label (the lowest of equals). If
    every group is larger than the share, the smallest group is held out. The draw for a class depends only on the seed
    and the class. Returns sorted positions (rest, held).
    """
    groups = np.unique(groups, return_inverse=True)[1]
    sizes, strata = np.bincount(groups), _majority(labels, groups)
    held = np.zeros(len(sizes), dtype=bool)
    for label in np.unique(strata):
        draw = np.random.default_rng(key_seed("split", seed, int(label)))
        members = draw.permutation(np.flatnonzero(strata == label))
        target = int(sizes[members].sum() * fraction + 0.5)
        held[members[_fill(sizes[members], target)]] = True
    return np.flatnonzero(~held[groups]), np.flatnonzero(held[groups])


def _majority(labels: Ints, groups: Ints) -> Ints:
    """Return the most frequent label of each group (G,), the lowest of equals."""
    num_classes = int(labels.max()) + 1
    pairs, counts = np.unique(groups * num_classes + labels, return_counts=True)
    owner, label = pairs // num_classes, pairs % num_classes
    order = np.lexsort((label, -counts, owner))
    first = np.unique(owner[order], return_index=True)[1]
    return np.asarray(label[order][first])


def _fill(sizes: Ints, target: int) -> list[int]:
    """Return the positions of groups, taken in order if they fit into the rest of the target."""
    taken, total = [], 0
    for position, size in enumerate(sizes):
        if total + size <= target:
            taken.append(position)
            total += size
    if not taken and target > 0:
        taken = [int(np.argmin(sizes))]
    return taken


def limited(labels: Ints, parts: NDArray[np.str_], limit: int, seed: int) -> Ints:
    """Return the sorted positions of at most ``limit`` images of each class in each part.

    A smaller limit gives a subset of a larger limit.
    """
    kept = []
    for part in np.unique(parts):
        for label in np.unique(labels[parts == part]):
            members = np.flatnonzero((parts == part) & (labels == label))
            draw = np.random.default_rng(key_seed("limit", seed, str(part), int(label)))
            kept.append(draw.permutation(members)[:limit])
    return np.sort(np.concatenate(kept))


def duplicate_groups(digests: Sequence[bytes]) -> Ints:
    """Give equal digests the same number, in order of first appearance: (N,) int64."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(digest, len(seen)) for digest in digests], dtype=np.int64)


def copies_elsewhere(groups: Ints, parts: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return whether an image has a copy in a part of higher precedence (test, then val, then train): (N,) bool."""
    rank = np.array([PRECEDENCE.index(part) for part in parts], dtype=np.int64)
    best = np.full(int(groups.max()) + 1, len(PRECEDENCE), dtype=np.int64)
    np.minimum.at(best, groups, rank)
    return np.asarray(rank > best[groups])


def conflicts(groups: Ints, labels: Ints) -> list[Ints]:
    """Return the positions of the images of each group that has more than one label."""
    lowest = np.full(int(groups.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    highest = np.full_like(lowest, -1)
    np.minimum.at(lowest, groups, labels)
    np.maximum.at(highest, groups, labels)
    return [np.flatnonzero(groups == group) for group in np.flatnonzero(lowest < highest).tolist()]
