"""Which image goes to which split: pure functions of labels, duplicate groups and a seed. Knows no image.

A group is a set of images with identical prepared pixels; groups are numbered 0 to G - 1 in an (N,) array.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fkt.data.keys import key_seed

Ints = NDArray[np.int64]
PRECEDENCE = ("test", "val", "train")
"""Where copies of one image lie in several of the source's splits, the first of these keeps them."""


def duplicate_groups(digests: Sequence[bytes]) -> Ints:
    """Number equal digests alike, in order of first appearance: (N,) int64."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(digest, len(seen)) for digest in digests], dtype=np.int64)


def stratified_split(labels: Ints, groups: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Hold out a fraction of every class without ever dividing a group.

    labels, groups: (N,). fraction: in (0, 1); of n images of a class, n * fraction (half up) are held out, fewer
    only where no further group fits. A group of several labels counts for its most frequent one (the lower of
    two). If the share is at least one image but every group is larger, the smallest group is held out.
    The draw for a class depends on the seed and that class alone. Returns sorted positions (rest, held).
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
    """Most frequent label of each group, the lowest of equals: (G,)."""
    num_classes = int(labels.max()) + 1
    pairs, counts = np.unique(groups * num_classes + labels, return_counts=True)
    owner, label = pairs // num_classes, pairs % num_classes
    order = np.lexsort((label, -counts, owner))
    first = np.unique(owner[order], return_index=True)[1]
    return np.asarray(label[order][first])


def _fill(sizes: Ints, target: int) -> list[int]:
    """Positions of the groups that are taken, in order, while they fit the target."""
    taken, total = [], 0
    for position, size in enumerate(sizes):
        if total + size <= target:
            taken.append(position)
            total += size
    if not taken and target > 0:
        taken = [int(np.argmin(sizes))]
    return taken


def limited(labels: Ints, parts: NDArray[np.str_], limit: int, seed: int) -> Ints:
    """Return the sorted positions of at most ``limit`` images of each class in each part; nested in the limit."""
    kept = []
    for part in np.unique(parts):
        for label in np.unique(labels[parts == part]):
            members = np.flatnonzero((parts == part) & (labels == label))
            draw = np.random.default_rng(key_seed("limit", seed, str(part), int(label)))
            kept.append(draw.permutation(members)[:limit])
    return np.sort(np.concatenate(kept))


def copies_elsewhere(groups: Ints, parts: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Mark images with a copy in a part that takes precedence (test before val before train): (N,) bool."""
    rank = np.array([PRECEDENCE.index(part) for part in parts], dtype=np.int64)
    best = np.full(int(groups.max()) + 1, len(PRECEDENCE), dtype=np.int64)
    np.minimum.at(best, groups, rank)
    return np.asarray(rank > best[groups])


def conflicts(groups: Ints, labels: Ints) -> list[Ints]:
    """Return the positions of each group whose images do not all have one label."""
    lowest = np.full(int(groups.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    highest = np.full_like(lowest, -1)
    np.minimum.at(lowest, groups, labels)
    np.maximum.at(highest, groups, labels)
    return [np.flatnonzero(groups == group) for group in np.flatnonzero(lowest < highest).tolist()]
