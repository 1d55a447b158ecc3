"""The params.yaml section of every self-supervised method, and the table that names them.

This file imports no torch, so that params.yaml is checked completely and fast. fkt/ssl/methods.py has the classes, and
fkt/params/sizes.py what ``auto`` means for each size.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fkt.params.base import (
    Count,
    FalseNegatives,
    Natural,
    NonNegative,
    OrAuto,
    Positive,
    Probability,
    Section,
    Seed,
    Size,
)

TauSchedule = Literal["constant", "cosine"]


class MethodParams(Section):
    """Base of all sections of methods. A number of the type ``OrAuto`` needs a rule in fkt/params/sizes.py."""

    without_labels: ClassVar[str] = ""
    """What to set if there are no labels, for sections whose uses_labels can be true; ``{method}`` is the method."""

    @property
    def uses_labels(self) -> bool:
        """Whether the method learns from labels, with these settings."""
        return False


class ProjectorParams(MethodParams):
    """A projector on top of the backbone."""

    projector_hidden: OrAuto[Count]
    """Width of the hidden layers of the projector."""
    projector_size: OrAuto[Size]
    """D, the size of a projection, and of a prediction or a prototype if the method has them."""


class ContrastiveParams(ProjectorParams):
    """A loss with positive and negative pairs."""

    temperature: Positive
    """The cosine similarities are divided by it."""


class SimCLRParams(ContrastiveParams):
    """SimCLR (arXiv:2002.05709)."""

    without_labels: ClassVar[str] = "{method}.false_negatives: keep"

    false_negatives: FalseNegatives
    """``eliminate``: images that are known to be of the anchor's class are not used as its negatives."""

    @property
    def uses_labels(self) -> bool:
        """See MethodParams."""
        return self.false_negatives == "eliminate"


class MoCoParams(SimCLRParams):
    """MoCo v2 (arXiv:2003.04297)."""

    queue_size: OrAuto[Count]
    """K, the maximum number of keys in the queue. It is reduced to the number of training images outside a batch."""
    tau: Probability
    """Share of the old weights in the new weights of the key network, at each step; m in the paper."""
    symmetric: bool
    """Use each view as query and as key: twice the passes, and the keys of both views enter the queue."""


class SupConParams(ContrastiveParams):
    """SupCon (arXiv:2004.11362)."""

    without_labels: ClassVar[str] = "method: simclr, which is SupCon without labels"

    @property
    def uses_labels(self) -> bool:
        """See MethodParams."""
        return True


class PredictorParams(ProjectorParams):
    """A projector and a predictor."""

    predictor_hidden: OrAuto[Count]
    """Width of the hidden layer of the predictor. SimSiam's paper uses a bottleneck: ``projector_size`` / 4."""


class SimSiamParams(PredictorParams):
    """SimSiam (arXiv:2011.10566)."""

    projector_layers: Count
    """Linear layers of the projector: 3 in the paper, 2 on CIFAR-10."""


class BYOLParams(PredictorParams):
    """BYOL (arXiv:2006.07733)."""

    tau: Probability
    """Share of its own weights that a target keeps in a step, at the start of the run. With 0 the target is a copy
    of the online network; with 1 it never changes."""
    tau_schedule: TauSchedule
    """``cosine``: tau rises to 1 at the end of the run, as in the paper of BYOL."""


class TriBYOLParams(BYOLParams):
    """TriBYOL (arXiv:2206.03012)."""

    target_updates: Literal["alternate", "both", "shared"]
    """``alternate``: the two targets move in turn. ``both``: both move in each step, and so stay equal. ``shared``:
    one target for both pairs of views."""


class CrossParams(BYOLParams):
    """Cross, in our reading of arXiv:2104.02864."""

    teacher_view: Literal["other", "same"]
    """The view that the teacher sees: the other one, or the same one that the student predicts from."""


class SwAVParams(ProjectorParams):
    """SwAV (arXiv:2006.09882)."""

    prototypes: OrAuto[Size]
    """K, several per class. A batch, with its queue, must have at least K images to use all prototypes."""
    temperature: Positive
    """The scores that predict a code are divided by it."""
    epsilon: Positive
    """The scores that a code is computed from are divided by it. The smaller, the closer a code is to one prototype."""
    sinkhorn_iterations: Count
    """Iterations that balance the codes of a batch."""
    frozen_share: Probability
    """The prototypes do not move in this share of the run, at its start."""
    queue_size: OrAuto[Natural]
    """Number of earlier projections of each view that are balanced with a batch; 0 = no queue."""
    queue_start: Probability
    """Share of the run after which the queue is used."""


class BarlowTwinsParams(ProjectorParams):
    """Barlow Twins (arXiv:2103.03230)."""

    redundancy_weight: OrAuto[NonNegative]
    """lambda, the weight of the D (D - 1) terms off the diagonal; the diagonal has D terms. auto: 0.0051 as in the
    paper, or 2.56 / D if that is more, so that both sums keep their ratio if D is small."""
    loss_scale: OrAuto[Positive]
    """The loss, which starts near D, is multiplied by it; 1 is the paper's loss. auto: 3.2 / D, so that it starts near
    3 for every D, like cross-entropy."""


class VICRegParams(ProjectorParams):
    """VICReg (arXiv:2105.04906). The terms are means over dimensions or divided by D, so no weight follows D: 25, 25
    and 1 are published for 8192 dimensions and, by solo-learn, for 2048."""

    invariance_weight: NonNegative
    """lambda, the weight of the distance between the two views of an image."""
    variance_weight: Positive
    """mu, the weight of the hinge that keeps the standard deviation of each dimension at 1. It prevents collapse."""
    covariance_weight: NonNegative
    """nu, the weight of the squared covariances between dimensions."""


class PirlParams(MethodParams):
    """PIRL (arXiv:1912.01991) with rotations."""

    embedding_size: OrAuto[Size]
    """Size of an embedding and of a row of the memory bank."""
    temperature: Positive
    """The cosine similarities are divided by it."""
    num_negatives: OrAuto[Count]
    """Rows of other images that are drawn from the bank for each image and step, with replacement."""
    bank_momentum: Annotated[float, Field(ge=0, lt=1)]
    """Share of the old row in the new one; 0 keeps the last embedding."""
    transformed_weight: Probability
    """lambda, the weight of the loss of the transformed image; the loss of the image itself has 1 - lambda."""
    loss: Literal["nce", "info_nce"]
    """nce: the paper's loss, which also scores each negative; info_nce: its first term only."""


class TilesParams(Section):
    """How nine tiles are cut from a view. Lengths are in pixels."""

    puzzle_size: Annotated[int, Field(ge=3, le=1023, multiple_of=3)]
    """The view is resized to this side and divided into 3 x 3 cells."""
    tile_size: Count
    """Side of the tile that is cut from each cell."""
    jitter: Natural
    """Maximum random shift of a tile in its cell. What remains of the cell is a gap around the tile."""
    channel_shift: Natural
    """Maximum additional shift of each channel of a tile, against chromatic aberration."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        cell, needed = self.puzzle_size // 3, self.tile_size + self.jitter + self.channel_shift
        if needed > cell:
            raise ValueError(
                f"tile_size + jitter + channel_shift is {needed}, more than the cell of puzzle_size / 3 = {cell}; "
                "increase puzzle_size, or decrease one of them"
            )
        return self


class PirlJigsawParams(PirlParams):
    """PIRL with jigsaw puzzles."""

    tiles: TilesParams


class RotationParams(MethodParams):
    """Rotation prediction (RotNet, arXiv:1803.07728)."""

    rotated_copies: Annotated[int, Field(ge=1, le=3)]
    """Rotated copies of each upright view; 3 is RotNet. A step costs 1 + rotated_copies image passes."""
    hidden: OrAuto[Count]
    """Width of the hidden layer of the rotation head."""


class JigsawPPParams(MethodParams):
    """Jigsaw++ (arXiv:1805.00385)."""

    tiles: TilesParams
    num_permutations: Annotated[int, Field(ge=2, le=10_000)]
    """P, the number of permutations and so of classes; 10,000 are chosen in about 15 seconds."""
    permutation_seed: Seed
    """Seed for choosing the permutations."""
    max_foreign: Annotated[int, Field(ge=0, le=8)]
    """Maximum number of tiles of another image in a puzzle; the number is uniform in 0 ... max_foreign."""
    gray_probability: Probability
    """Probability that a puzzle loses its colors; no effect on images with one channel."""
    projection_probability: Probability
    """Probability that a puzzle in color loses the axis from green to magenta; only for images with three channels."""
    tile_embedding: OrAuto[Count]
    """Width of the part of the head that sees a single tile."""
    hidden: OrAuto[Count]
    """Width of the hidden layer that sees all nine tiles."""


SECTIONS: dict[str, type[MethodParams]] = {
    "simclr": SimCLRParams,
    "moco": MoCoParams,
    "byol": BYOLParams,
    "simsiam": SimSiamParams,
    "swav": SwAVParams,
    "barlow_twins": BarlowTwinsParams,
    "vicreg": VICRegParams,
    "supcon": SupConParams,
    "tribyol": TriBYOLParams,
    "cross": CrossParams,
    "pirl_jigsaw": PirlJigsawParams,
    "pirl_rotation": PirlParams,
    "rotation": RotationParams,
    "jigsaw_pp": JigsawPPParams,
}
"""The section of each method by name. METHODS in fkt/ssl/methods.py has the same names."""
