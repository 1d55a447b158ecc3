"""The puzzles of Jigsaw++: a set of distant permutations, and the tiles in each place of a puzzle."""

import math

import numpy as np
import torch
from torch import Generator, Tensor

from fkt.data.keys import keyed_generator
from fkt.ssl.pretext.tiles import NUM_TILES


def all_permutations(items: int) -> Tensor:
    """Return (items!, items) uint8, every permutation of 0 ... items - 1."""
    table = torch.zeros(1, 0, dtype=torch.uint8)
    for item in range(items):
        new = torch.full((len(table), 1), item, dtype=torch.uint8)
        table = torch.cat([torch.cat([table[:, :at], new, table[:, at:]], dim=1) for at in range(item + 1)])
    return table


def distant_permutations(count: int, items: int, seed: int) -> Tensor:
    """Choose permutations greedily by Hamming distance (arXiv:1603.09246, Alg. 1); a function of the seed.

    The first one is random. Each next one has the largest distance to its nearest chosen one; ties are broken by the
    largest mean distance to all chosen ones, and then at random. The paper of Jigsaw++ gives the minimum and the mean
    distance of its 701 permutations (3 and 8), but no rule; this rule keeps the minimum as large as possible.

    Returns (count, items) int64, all different. Raises ValueError if there are fewer permutations.
    """
    if not 1 <= count <= math.factorial(items):
        raise ValueError(f"there are {math.factorial(items)} permutations of {items}; {count} cannot be chosen")
    table = all_permutations(items)
    table = table[torch.randperm(len(table), generator=keyed_generator(seed, "permutations"))]
    columns = table.T.contiguous().numpy()  # (items, items!): comparisons along contiguous memory are faster
    nearest = np.full(len(table), items, dtype=np.uint8)  # in bytes, 701 of 9! take one second instead of a minute
    total = np.zeros(len(table), dtype=np.int32)
    chosen = [0]
    while len(chosen) < count:
        distance = np.zeros(len(table), dtype=np.uint8)
        for column in columns:
            distance += column != column[chosen[-1]]
        np.minimum(nearest, distance, out=nearest)
        total += distance
        farthest = np.flatnonzero(nearest == nearest.max())
        chosen.append(int(farthest[total[farthest].argmax()]))
    return table[chosen].long()


def draw_puzzles(
    permutations: Tensor, count: int, max_foreign: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a permutation for each image, and replace some of its tiles by tiles of another image.

    permutations: (P, 9); place j of puzzle p shows tile permutations[p, j]. The number of replaced tiles is uniform in
    0 ... max_foreign, their places are random, and the new tiles are different random tiles of one other image of the
    batch. A batch of one image keeps its tiles. generator: on the CPU.

    Returns labels (B,), the indices of the permutations, and images and tiles (B, 9): place j of puzzle i shows tile
    tiles[i, j] of image images[i, j]. All are int64 and on the device of the permutations.
    """
    labels = torch.randint(len(permutations), (count,), generator=generator)
    own = torch.arange(count)
    other = (own + 1 + torch.randint(max(count - 1, 1), (count,), generator=generator)) % count
    replaced = torch.randint(max_foreign + 1, (count, 1), generator=generator)
    rank = torch.rand(count, NUM_TILES, generator=generator).argsort(dim=1).argsort(dim=1)
    foreign_tiles = torch.rand(count, NUM_TILES, generator=generator).argsort(dim=1)
    foreign = (rank < replaced) & (count > 1)
    images = torch.where(foreign, other[:, None], own[:, None])
    drawn = (labels, images, foreign, foreign_tiles)
    labels, images, foreign, foreign_tiles = (tensor.to(permutations.device) for tensor in drawn)
    return labels, images, torch.where(foreign, foreign_tiles, permutations[labels])
