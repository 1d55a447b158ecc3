"""The settings for someone's own images that follow from the images and the device."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import ParamsError, UserError
from fkt.params import Prepare
from fkt.propose.images import Images, look
from fkt.raw.datasets import read_source
from fkt.raw.groups import group_keys, united
from fkt.raw.splits import Ints, partition

CPU_IMAGES = 4000
"""Most images of a first comparison on a CPU, in all splits."""
CPU_SIDE, GPU_SIDES = 64, (224, 128, 96)
SMALL_STEM = 64
"""Largest image for the small stem, in pixels."""
WORK = {False: 4_000.0, True: 860_000.0}
"""What each arm and seed may cost on a CPU and on a GPU, in GMACs of forward passes: minutes to an hour for all."""
PASSES = {False: (20, 200), True: (60, 300)}
"""Fewest and most image passes per training image."""
PRETRAIN_SHARE = 0.667
STEPS = 200
"""Fewest optimizer steps of pretraining."""
UNEQUAL = 2.0
"""Ratio of the largest to the smallest class from which the classes count as unequal."""


@dataclass(frozen=True)
class Plan:
    """The images of a source, how they will be split, and what follows for the settings."""

    images: Images
    gpu: bool
    prepare: Prepare
    """With its limit and its fractions chosen."""
    groups: Ints
    """(M,) equal numbers for images that stay together, for each image that was decoded."""
    final: NDArray[np.str_]
    """(M,) the split of each image that was decoded, as prepare will cut it."""

    def number(self, part: str) -> int:
        """Return the number of images of a split."""
        limit = self.prepare.limit_per_class or len(self.images.raw)
        total = np.minimum(self.images.counts, limit).sum() if self.images.is_sample else len(self.final)
        return round(float((self.final == part).mean()) * int(total))

    @property
    def train(self) -> int:
        """Number of training images."""
        return self.number("train")

    @property
    def tenth(self) -> int:
        """Shorter side in pixels, below which a tenth of the images are."""
        return int(np.quantile(self.images.sizes.min(axis=1), 0.1))

    @property
    def cut(self) -> float:
        """Fraction of the images that would lose more than a third of their area by cropping."""
        return float((3 * self.images.sizes.min(axis=1) < 1.99 * self.images.sizes.max(axis=1)).mean())

    @property
    def side(self) -> int:
        """Image size: that of nine in ten images, if the device has the time for it."""
        own = max(16, self.tenth // 4 * 4)
        if not self.gpu:
            return min(own, CPU_SIDE)
        sides = [min(side, own) for side in GPU_SIDES]
        fewest = PASSES[True][0] * self.train
        return next((side for side in sides if fewest * self.gmacs(side) <= WORK[True]), sides[-1])

    def gmacs(self, side: int) -> float:
        """GMACs of a forward pass: ResNet-18 of width 64, without a GPU ResNet-10 of width 16."""
        full = 0.56 * (side / 32) ** 2 if side <= SMALL_STEM else 1.8 * (side / 224) ** 2
        return full if self.gpu else full / 32

    @property
    def batch(self) -> int:
        """Batch size: about a third of the training images, from 8 (if there are so many) to 64, or 128 on a GPU."""
        third, most = (1 << int(math.log2(max(2, count))) for count in (self.train / 3, self.train))
        return min(128 if self.gpu else 64, max(third, min(8, most)))

    @property
    def passes(self) -> int:
        """Image passes per training image."""
        least, most = PASSES[self.gpu]
        enough = STEPS * 2 * self.batch / (PRETRAIN_SHARE * self.train)
        return math.ceil(max(least, enough, min(most, WORK[self.gpu] / (self.gmacs(self.side) * self.train))))

    @property
    def steps(self) -> int:
        """Optimizer steps of pretraining, with two views of each image."""
        return round(self.passes * self.train * PRETRAIN_SHARE / (2 * self.batch))

    @property
    def rate(self) -> float:
        """Learning rate, for AdamW: 0.001 for width 64 and batches of 128, 0.003 for width 16 and batches of 64."""
        return float(f"{0.001 * math.sqrt(self.batch / 128) if self.gpu else 0.003 * math.sqrt(self.batch / 64):.2g}")

    @property
    def ratio(self) -> float:
        """Images of the largest class for each image of the smallest."""
        return float(self.images.counts.max() / self.images.counts.min())

    @property
    def is_unequal(self) -> bool:
        """Whether the numbers of images of the classes differ much."""
        return self.ratio >= UNEQUAL


def planned(prepare: Prepare, gpu: bool) -> Plan:
    """Look at the images of ``prepare.source``, and choose the splits. More of few images become test images.

    Raises UserError if they cannot be split, and the errors of fkt.raw.
    """
    raw = read_source("folder", prepare)
    limit = None if gpu else _cpu_limit(np.bincount(raw.labels))
    images = look(raw, prepare.source, limit, prepare.split_seed)
    keys = group_keys(raw, prepare.groups) if prepare.groups else [None] * len(raw)
    labels, parts, classes = raw.labels[images.rows], raw.parts[images.rows], raw.classes
    groups = united([keys[row] for row in images.rows.tolist()], images.copies)
    chosen = prepare.model_copy(update={"limit_per_class": limit})

    # To learn at all, a class needs two training images, but one group with more of them is enough.
    needed = 1 + (prepare.groups is None) + sum(part not in raw.parts for part in ("val", "test"))
    number = [len(np.unique(groups[(labels == label) & (parts == "train")])) for label in range(len(classes))]
    if few := [f'"{classes[label]}" has {count}' for label, count in enumerate(number) if count < needed]:
        more = f" and {len(few) - 3} more" if len(few) > 3 else ""
        what = "groups (--groups)" if prepare.groups else "different images, readable and of one class,"
        raise UserError(
            f"each class needs at least {needed} {what} to train, validate and test: {', '.join(few[:3])}{more}; "
            "add images, or remove the class"
        )
    total = len(labels)
    most = 0.4 if total < 500 else 0.3 if total < 1000 else 0.2
    for val in (0.1 if total > 10_000 else 0.2, 0.34):
        for test in [fraction for fraction in (0.4, 0.3, 0.25, 0.2) if fraction <= most]:
            tried = chosen.model_copy(update={"val_fraction": val, "test_fraction": test})
            try:
                return Plan(images, gpu, tried, groups, partition(labels, groups, parts, tried, classes))
            except ParamsError as error:
                problem = str(error)
    raise UserError(f"these images cannot be split into training, validation and test images: {problem}")


def _cpu_limit(counts: Ints) -> int | None:
    """Return limit_per_class for a first comparison on a CPU; counts: (K,) images of each class. None: no limit."""
    return max(20, CPU_IMAGES // len(counts)) if counts.sum() > CPU_IMAGES else None
