"""Which tile of which image lies where in the puzzles of Jigsaw++."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from fkt.ssl.pretext.tiles import NUM_TILES


@dataclass(frozen=True)
class Puzzles:
    """B puzzles of nine tiles each."""

    labels: Tensor
    """(B,) int64: numbers of the permutations."""
    images: Tensor
    """(B, 9) int64: whose tile lies in each place, as a row of the batch."""
    tiles: Tensor
    """(B, 9) int64: which of that image's tiles."""

    def lay(self, tiles: Tensor) -> Tensor:
        """(B, 9, C, T, T) tiles in their images' order -> the same shape in the puzzles' order."""
        return tiles[self.images, self.tiles]


def draw_puzzles(permutations: Tensor, count: int, max_foreign: int, generator: Generator) -> Puzzles:
    """Draw a permutation for each of ``count`` images, and tiles of another image to replace some of its own.

    permutations: (P, 9); place j of puzzle p shows tile permutations[p, j]. The number of replaced places
    is uniform in 0 ... max_foreign, the places are random, and the tiles laid there are different random tiles of
    one other image of the batch, never of the puzzle's own; a lone image keeps its tiles. The label stays the
    permutation. generator: on the CPU; what is returned is where the permutations are.
    """
    labels = torch.randint(len(permutations), (count,), generator=generator)
    own = torch.arange(count)
    other = (own + 1 + torch.randint(max(count - 1, 1), (count,), generator=generator)) % count
    replaced = torch.randint(max_foreign + 1, (count, 1), generator=generator)
    rank = torch.rand(count, NUM_TILES, generator=generator).argsort(dim=1).argsort(dim=1)
    others_tiles = torch.rand(count, NUM_TILES, generator=generator).argsort(dim=1)
    foreign = (rank < replaced) & (count > 1)
    images = torch.where(foreign, other[:, None], own[:, None])
    labels, images, foreign, others_tiles = (
        drawn.to(permutations.device) for drawn in (labels, images, foreign, others_tiles)
    )
    return Puzzles(labels, images, torch.where(foreign, others_tiles, permutations[labels]))
