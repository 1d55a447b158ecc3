"""Groups: images that belong together (one patient, one scene, one burst) and are never in different splits."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import CorruptData, ParamsError, unknown_name
from fkt.raw.notes import shortened
from fkt.raw.source import Raw
from fkt.raw.splits import DROPPED, Ints, conflicts, duplicate_groups


def group_keys(raw: Raw, rule: str) -> list[str | None]:
    """Return the group of each image, (N,); None: the image belongs to no other. rule: see ``prepare.groups``.

    parent_folder: the path of the image's folder below the class folder, without the class: a patient with a folder in
    two classes, or in train and test, is one group. If patients of different classes share a name by chance, such as
    ``1``, they become one group too: no group is divided, but fewer are left to split. An image directly in the folder
    of its class belongs to no other.
    Raises ParamsError for a rule that does not fit the source, CorruptData for empty cells of a column.
    """
    if raw.below is None:
        raise ParamsError(f"prepare.groups: {rule} needs image files, but this dataset has arrays; leave it empty")
    kind, _, value = rule.partition(":")
    keys: list[str | None]
    if kind == "parent_folder":
        folders = [PurePosixPath(path).parent.as_posix() for path in raw.below]
        keys = [None if folder == "." else folder for folder in folders]
        if not any(keys):
            raise ParamsError(
                "prepare.groups: parent_folder, but no image is in a folder inside the folder of its class; use "
                "column:NAME or pattern:REGEX, or leave it empty"
            )
    elif kind == "column":
        if value not in raw.columns:
            raise ParamsError(f"prepare.groups: {unknown_name('column', value, raw.columns)}")
        keys = [cell or None for cell in raw.columns[value]]
        if empty := [name for name, key in zip(raw.names, keys, strict=True) if key is None]:
            lines = shortened(empty)
            raise CorruptData("\n       ".join([f"the column '{value}' is empty for", *lines, "fill these cells"]))
    else:
        found = [re.search(value, name) for name in raw.names]
        keys = [match[1] if match else None for match in found]
        if odd := [name for name, key in zip(raw.names, keys, strict=True) if not key]:
            title = f"prepare.groups: {rule} finds no group in {len(odd)} of {len(keys)} paths:"
            raise ParamsError("\n       ".join([title, *shortened(odd), "change it so that it fits every path"]))
    return keys


def united(keys: Sequence[str | None], same: Ints) -> Ints:
    """Unite groups that contain identical images: (N,) numbers in order of first appearance.

    same: (N,) equal for identical images.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    named = duplicate_groups([position if key is None else key for position, key in enumerate(keys)])
    first = int(same.max()) + 1  # nodes: the sets of identical images, then the named groups; an edge for each image
    size = first + int(named.max()) + 1
    edges = coo_array((np.ones(len(same)), (same, first + named)), shape=(size, size))
    return duplicate_groups(connected_components(edges, directed=False)[1][same].tolist())


def group_notes(
    rule: str,
    keys: Sequence[str | None],
    groups: Ints,
    labels: Ints,
    final: NDArray[np.str_],
    dropped: Sequence[str],
) -> dict[str, Any]:
    """Return the note on groups; groups: united, (N,). dropped: images that are left out because of their group."""
    kept = np.flatnonzero(final != DROPPED)
    numbers = np.unique(groups[kept], return_inverse=True)[1]
    sizes = np.bincount(numbers)
    return {
        "groups": {
            "rule": rule,
            "count": len(sizes),
            "sizes": [int(sizes.min()), int(np.median(sizes)), int(sizes.max())],
            "test": len(np.unique(groups[final == "test"])),
            "alone": sum(keys[position] is None for position in kept.tolist()),
            "several_classes": len(conflicts(numbers, labels[kept])),
            "dropped": list(dropped),
        }
    }
