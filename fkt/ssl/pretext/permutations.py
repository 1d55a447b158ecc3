"""A few permutations that lie far apart: the classes of a jigsaw puzzle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fkt.data.keys import keyed_generator


def all_permutations(items: int) -> Tensor:
    """Return (items!, items) uint8, every permutation of 0 ... items - 1 once."""
    table = torch.zeros(1, 0, dtype=torch.uint8)
    for item in range(items):
        new = torch.full((len(table), 1), item, dtype=torch.uint8)
        table = torch.cat([torch.cat([table[:, :at], new, table[:, at:]], dim=1) for at in range(item + 1)])
    return table


def distant_permutations(count: int, items: int, seed: int) -> Tensor:
    """Choose permutations greedily by Hamming distance (arXiv:1603.09246, Alg. 1); the same for the same seed.

    The first is random; each other one is, of all that are left, the farthest from its nearest chosen one; among
    equals, the one with the largest mean distance to all chosen; among equals still, a random one. The paper of
    Jigsaw++ gives minimum and mean distance of its 701 (3 and 8), not the rule; this one keeps the minimum largest.

    Returns (count, items) int64, all different. Raises ValueError where there are not so many.
    """
    if not 1 <= count <= math.factorial(items):
        raise ValueError(f"there are {math.factorial(items)} permutations of {items}; {count} cannot be chosen")
    table = all_permutations(items)
    table = table[torch.randperm(len(table), generator=keyed_generator(seed, "permutations"))]
    columns = table.T.contiguous()  # (items, items!): compared along contiguous memory
    nearest = torch.full((len(table),), items, dtype=torch.int64)
    total = torch.zeros(len(table), dtype=torch.int64)
    chosen = [0]
    while len(chosen) < count:
        distance = (columns != columns[:, chosen[-1], None]).sum(dim=0)
        nearest, total = torch.minimum(nearest, distance), total + distance
        chosen.append(int((nearest * (items * count + 1) + total).argmax()))
    return table[chosen].long()
