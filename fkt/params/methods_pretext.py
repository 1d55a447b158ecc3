"""The sections of the methods that predict, or ignore, a transformation: rotations and jigsaw puzzles."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fkt.params.base import Count, Positive, Probability, Section, Size

Whole = Annotated[int, Field(ge=0)]


class RotationParams(Section):
    """Rotation prediction alone (RotNet, arXiv:1803.07728)."""

    rotated_copies: Annotated[int, Field(ge=1, le=3)]
    """Rotated copies of a view beside the upright one; 3 is RotNet. A step costs 1 + rotated_copies image passes."""
    hidden: Count
    """Width of the rotation head's hidden layer."""


class TilesParams(Section):
    """How nine tiles are cut from a view; lengths in pixels."""

    puzzle_size: Annotated[int, Field(ge=3, multiple_of=3)]
    """Side to which a view is resized before it is cut into 3 x 3 cells."""
    tile_size: Count
    """Side of the tile that is cut from a cell of puzzle_size / 3."""
    jitter: Whole
    """A tile's place in its cell varies by up to this; what the cell then still has to spare is gap."""
    channel_shift: Whole
    """Each channel of a tile is moved by up to this more: against chromatic aberration."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        cell, needed = self.puzzle_size // 3, self.tile_size + self.jitter + self.channel_shift
        if needed > cell:
            raise ValueError(
                f"tile_size + jitter + channel_shift is {needed}, more than the cell of puzzle_size / 3 = {cell}; "
                "raise puzzle_size or lower one of them"
            )
        return self


class PirlParams(Section):
    """What both variants of PIRL (arXiv:1912.01991) have."""

    embedding_size: Size
    """Size of an embedding and of a row of the memory bank."""
    temperature: Positive
    """Divides the cosine similarities."""
    num_negatives: Count
    """Drawn from the bank for each image and step, with replacement, never the image itself."""
    bank_momentum: Annotated[float, Field(ge=0, lt=1)]
    """Share of the old row in a new one; 0 keeps the last embedding."""
    transformed_weight: Probability
    """lambda: weight of the transformed image's loss; the image's own has 1 - lambda."""
    loss: Literal["nce", "info_nce"]
    """nce: the paper's loss, which also scores each negative; info_nce: its first term alone."""


class PirlRotationParams(PirlParams):
    """PIRL with rotations."""


class PirlJigsawParams(PirlParams):
    """PIRL with jigsaw puzzles."""

    tiles: TilesParams
    """The puzzle's tiles."""


class JigsawPPParams(Section):
    """Jigsaw++ (arXiv:1805.00385)."""

    tiles: TilesParams
    """The puzzle's tiles."""
    num_permutations: Annotated[int, Field(ge=2, le=362880)]
    """P, classes of the puzzle task."""
    permutation_seed: Whole
    """Seed of the greedy choice of the permutations."""
    max_foreign: Annotated[int, Field(ge=0, le=8)]
    """Most tiles of another image in a puzzle; their number is uniform from 0."""
    gray_probability: Probability
    """Of a puzzle to lose its colors; no effect on one channel."""
    projection_probability: Probability
    """Of a puzzle that kept its colors to lose those between green and magenta; no effect but on three channels."""
    tile_embedding: Count
    """Width of each tile's part of the head, shared by the nine tiles."""
    hidden: Count
    """Width of the head's hidden layer on the nine tiles together."""
