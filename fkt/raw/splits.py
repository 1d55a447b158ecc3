"""Train, val and test: pure functions of labels, groups and a seed.

A group is a set of images that are never in different splits: identical prepared pixels, and what ``prepare.groups``
adds. Groups are numbered 0 to G - 1 in an (N,) array.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, ParamsError, plural
from fkt.data.keys import key_seed
from fkt.params import Prepare

Ints = NDArray[np.int64]
DROPPED = "dropped"
"""The part of images that are in no split: training images whose group is in the test or validation set."""
PRECEDENCE = ("test", "val", "train")
"""If a group is in several parts of the source, the first of these keeps its images."""


def partition(
    labels: Ints, groups: Ints, parts: NDArray[np.str_], params: Prepare, classes: Sequence[str]
) -> NDArray[np.str_]:
    """Assign every image to train, val, test or dropped: (N,) str.

    parts: (N,) the splits of the source. Its test and validation images stay there, and images of their groups in train
    (or in val, for groups of test images) are dropped. A missing test set is cut from train by ``test_fraction``, then
    a missing validation set by ``val_fraction`` of the rest.
    Raises CorruptData for a class without training images, ParamsError for a cut that leaves a class empty.
    """
    final = np.where(copies_elsewhere(groups, parts), DROPPED, parts)
    absent = np.setdiff1d(np.arange(len(classes)), labels[final == "train"])
    if len(absent):
        names = ", ".join(f'"{classes[label]}"' for label in absent)
        raise CorruptData(f"no training images of class {names}; add some, or remove the class from the source")
    cuts = [
        (part, fraction)
        for part, fraction in (("test", params.test_fraction), ("val", params.val_fraction))
        if not (final == part).any()
    ]
    if params.groups is not None:
        _check_enough_groups(labels, groups, final, ["train", *(part for part, _ in reversed(cuts))], classes)
    for part, fraction in cuts:
        train = np.flatnonzero(final == "train")
        rest, held = stratified_split(labels[train], groups[train], fraction, key_seed(part, params.split_seed))
        left, cut = (np.bincount(labels[train[rows]], minlength=len(classes)) for rows in (rest, held))
        problems = []
        for label in np.flatnonzero((left == 0) | (cut == 0)).tolist():
            members = train[labels[train] == label]
            remedy = "lower the fraction" if cut[label] else "raise the fraction or prepare.limit_per_class"
            remedy += ", or change prepare.split_seed" if params.groups is not None else ""
            kinds = "distinct" if params.groups is None else "of different groups"
            problems.append(
                f"prepare.{part}_fraction: {fraction} of the {plural(len(members), 'image')} of class "
                f'"{classes[label]}" ({len(np.unique(groups[members]))} of them {kinds}) leaves {left[label]} for '
                f"train and {cut[label]} for {part}, but both need at least 1; add images of that class, or {remedy}"
            )
        if problems:
            raise ParamsError("\n       ".join(problems))
        final[train[held]] = part
    return final


def _check_enough_groups(
    labels: Ints, groups: Ints, final: NDArray[np.str_], parts: Sequence[str], classes: Sequence[str]
) -> None:
    """Raise ParamsError for classes with fewer groups of training images than the parts that are cut from these."""
    train = final == "train"
    counts = {name: len(np.unique(groups[train & (labels == label)])) for label, name in enumerate(classes)}
    if few := [f'class "{name}" has {plural(count, "group")}' for name, count in counts.items() if count < len(parts)]:
        raise ParamsError(
            f"prepare.groups: {', '.join(few)} of training images, but no group is divided, and {', '.join(parts)} "
            "need one each; add images of other groups, or give the source a test or validation part"
        )


def stratified_split(labels: Ints, groups: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Hold out a fraction of every class, and never divide a group.

    labels, groups: (N,). fraction: in (0, 1). Of n images of a class, n * fraction (half up) are held out, or as close
    to that as groups allow, but at least one group. A group with several labels counts for the rarest of them, so that
    rare classes are in both parts. The draw for a class depends only on the seed and the class. Returns sorted
    positions (rest, held).
    """
    groups = np.unique(groups, return_inverse=True)[1]
    sizes, strata = np.bincount(groups), _rarest(labels, groups)
    held = np.zeros(len(sizes), dtype=bool)
    for label in np.unique(strata):
        draw = np.random.default_rng(key_seed("split", seed, int(label)))
        members = draw.permutation(np.flatnonzero(strata == label))
        target = int(sizes[members].sum() * fraction + 0.5)
        held[members[_fill(sizes[members], target)]] = True
    return np.flatnonzero(~held[groups]), np.flatnonzero(held[groups])


def _rarest(labels: Ints, groups: Ints) -> Ints:
    """Return the label of each group (G,) that the fewest groups have, the lowest of equals."""
    num_classes = int(labels.max()) + 1
    pairs = np.unique(groups * num_classes + labels)
    owner, label = pairs // num_classes, pairs % num_classes
    order = np.lexsort((label, np.bincount(label)[label], owner))
    first = np.unique(owner[order], return_index=True)[1]
    return np.asarray(label[order][first])


def _fill(sizes: Ints, target: int) -> list[int]:
    """Return the positions of groups, taken in order if they fit into the rest of the target.

    Then the smallest other group is added if this comes closer to the target, or if there is none yet.
    """
    taken, total = [], 0
    for position, size in enumerate(sizes):
        if total + size <= target:
            taken.append(position)
            total += size
    if total < target:
        others = np.setdiff1d(np.arange(len(sizes)), taken)
        smallest = int(others[np.argmin(sizes[others])])
        if not taken or (len(others) > 1 and total + sizes[smallest] - target < target - total):
            taken.append(smallest)
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


def duplicate_groups(digests: Sequence[Hashable]) -> Ints:
    """Give equal digests the same number, in order of first appearance: (N,) int64."""
    seen: dict[Hashable, int] = {}
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
