"""The settings for someone's own images: each follows from the images and the device, and has its reason."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import ParamsError, UserError, plural
from fkt.core.files import one_line
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
MUCH_CUT, OFTEN = 0.34, 0.1
"""Images are padded if cropping would cut more than this part of more than this fraction of them."""


class Choice(NamedTuple):
    """One line of a preset."""

    key: str
    """Dotted."""
    value: str
    """As in YAML."""
    reason: str


@dataclass(frozen=True)
class Plan:
    """What the other choices follow from."""

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
    def side(self) -> int:
        """Image size: that of nine in ten images, if the device has the time for it."""
        own = max(16, int(np.quantile(self.images.sizes.min(axis=1), 0.1)) // 4 * 4)
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
    def is_unequal(self) -> bool:
        """Whether the numbers of images of the classes differ much."""
        return bool(self.images.counts.max() >= UNEQUAL * self.images.counts.min())


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


def choices(plan: Plan) -> Iterator[Choice]:
    """Yield the lines of the preset, section by section."""
    yield Choice("dataset", "folder", "your own images")
    yield Choice("lambda", "1.0", "both losses count the same; 'fkt tune' chooses it on validation images")
    yield Choice("seeds", "[0, 1, 2, 3, 4]", "the fewest that give a verdict")
    yield from _prepare(plan)
    yield Choice("labels.per_class", "", "all labels are used; a number, such as 5, shows what few labels would give")
    steps = round(plan.passes * plan.train * PRETRAIN_SHARE / (2 * plan.batch))
    why = f"{plan.train:,} training images: about {steps:,} steps of pretraining with two views of each image"
    yield Choice("budget.passes", str(plan.passes), f"{why}. More passes take longer and can raise every arm")
    yield Choice("budget.pretrain_share", str(PRETRAIN_SHARE), "the SSL part of a joint step with two views")
    yield Choice("budget.checks", "20", "points of each learning curve")
    yield from _augment(plan)
    yield from _network(plan)
    yield Choice("tuning", "[]", "no arm is tuned yet: fkt tune")


def _prepare(plan: Plan) -> Iterator[Choice]:
    """Yield how the images become arrays and splits."""
    images, prepare, side = plan.images, plan.prepare, plan.side
    shorter, machine = images.sizes.min(axis=1), "a GPU" if plan.gpu else "a CPU"
    yield Choice("prepare.source", json.dumps(prepare.source, ensure_ascii=False), "read where it is, not copied")
    sizes = f"nine in ten images have {int(np.quantile(shorter, 0.1)):,} pixels or more on the shorter side"
    more = "" if plan.gpu or side < CPU_SIDE else ". For finer details, use a GPU and 'fkt preset NAME px224'"
    yield Choice("prepare.image_size", str(side), f"{sizes}; takes minutes to an hour on {machine}{more}")
    color = int(images.color.sum())
    why = f"{color:,} of {plural(len(images.rows), 'image')} have color" if color else "no image has color"
    yield Choice("prepare.channels", "3" if color else "1", why)
    if prepare.limit_per_class is not None:
        why = f"{images.counts.sum():,} images take long on a CPU; for the final comparison, leave it empty"
        yield Choice("prepare.limit_per_class", str(prepare.limit_per_class), why)
    long = 1 - shorter / images.sizes.max(axis=1) > MUCH_CUT
    count = f"{int(long.sum()):,} of {plural(len(long), 'image')}" if long.any() else "no image"
    share = f"{count} would lose more than a third at the center square"
    if long.mean() > OFTEN:
        yield Choice("prepare.fit", "pad", f"{share}; crop if the object is always in the middle")
    else:
        yield Choice("prepare.fit", "crop", share)
    if prepare.table is not None:
        yield Choice("prepare.table", json.dumps(prepare.table, ensure_ascii=False), "the labels")
    if prepare.groups is not None:
        why = "images of one group are never in different splits"
        yield Choice("prepare.groups", json.dumps(prepare.groups, ensure_ascii=False), why)
    if prepare.val_as_test:
        why = "the source has validation but no test images: they are the test set, and validation is cut from train"
        yield Choice("prepare.val_as_test", "true", why)
    if images.conflicting:
        why = f"{plural(len(images.conflicting), 'picture')} in several classes, of which at most one is right"
        yield Choice("prepare.on_conflict", "drop", why)
    if "test" not in images.raw.parts:
        point = f"one of them is {100 / plan.number('test'):.2g} points of accuracy"
        yield Choice(
            "prepare.test_fraction", str(prepare.test_fraction), f"about {plan.number('test'):,} test images; {point}"
        )
    if "val" not in images.raw.parts:
        yield Choice("prepare.val_fraction", str(prepare.val_fraction), "chooses epochs and, with 'fkt tune', settings")
    if images.unreadable or images.is_sample:
        names = ", ".join(map(one_line, list(images.unreadable)[:3]))
        known = f"{plural(len(images.unreadable), 'file')} cannot be read ({names})"
        why = f"{known}; repair or delete them to use 'error'" if images.unreadable else "not every file was looked at"
        yield Choice("prepare.on_corrupt", "skip", why)
    yield Choice("prepare.ordered", "false", "true if the classes are grades; then also report.metric: quadratic_kappa")


def _augment(plan: Plan) -> Iterator[Choice]:
    """Yield the engine and the views."""
    if plan.gpu or plan.side <= 32:
        why = "by far the faster engine on a GPU" if plan.gpu else "the faster engine for images up to 32 px"
        yield Choice("augment.engine", "batched", why)
    else:
        yield Choice("augment.engine", "albumentations", "about twice as fast as batched at 64 px on a CPU")
    crop = "{name: RandomResizedCrop, scale: [%s, 1.0], ratio: [0.75, 1.333], p: 1.0}"
    if plan.images.color.any():
        why = "a mirrored photograph usually stays in its class: if not, remove HorizontalFlip here and below"
        flip = ["{name: HorizontalFlip, p: 0.5}"]
        jitter = ["{name: ColorJitter, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8}",
                  "{name: ToGray, p: 0.2}"]  # fmt: skip
    else:
        why = "gray images are often text or scans, so none is mirrored: if a mirrored image stays in its class, add "
        why += "{name: HorizontalFlip, p: 0.5} here and below"
        flip, jitter = [], ["{name: ColorJitter, brightness: 0.4, contrast: 0.4, saturation: 0.0, hue: 0.0, p: 0.8}"]
    yield Choice("augment.views", _list(crop % 0.2, *flip, *jitter), why)
    yield Choice("augment.labelled", _list(crop % 0.6, *flip), "milder, because the object must stay in the crop")


def _network(plan: Plan) -> Iterator[Choice]:
    """Yield the network, its training, and the score."""
    gpu, side, batch = plan.gpu, plan.side, plan.batch
    small = side <= SMALL_STEM
    yield Choice(
        "model.backbone", "resnet18" if gpu else "resnet10", "for a GPU" if gpu else "a small network, for a CPU"
    )
    yield Choice("model.width", "64" if gpu else "16", "the standard network" if gpu else "16 times as fast as 64")
    why = f"for images up to {SMALL_STEM} px" if small else f"for images above {SMALL_STEM} px; downsamples early"
    yield Choice("model.stem", "small" if small else "imagenet", why)
    if gpu and not small and plan.images.color.any():
        why = "imagenet: every arm starts from ImageNet weights (a download), which helps most with few photographs"
        yield Choice("model.weights", "none", why)
    cell = math.ceil(side / 3)
    tiles = f"{{puzzle_size: {3 * cell}, tile_size: {cell * 3 // 4}, jitter: {cell // 5}}}"
    yield Choice("ssl.pirl_jigsaw", f"{{tiles: &tiles {tiles}}}", "for the image size")
    yield Choice("ssl.jigsaw_pp", "{tiles: *tiles}", "")
    if plan.is_unequal:
        counts = plan.images.counts
        why = f"the classes have {counts.min():,} to {counts.max():,} images, and each counts the same"
        yield Choice("cross_entropy.class_weights", "balanced", why)
    rate = (0.001 if gpu else 0.003) * math.sqrt(batch / (128 if gpu else 64))
    training = f"{{batch_size: {batch}, learning_rate: {rate:.2g}, weight_decay: 0.01}}"
    why = f"the same for every arm; {plan.train:,} training images make {max(1, plan.train // batch):,} batches"
    yield Choice("pretrain", f"&training {training}", why)
    for section in ("finetune", "supervised", "imagenet"):
        yield Choice(section, "*training", "")
    yield Choice("joint", "{<<: *training, balance: fixed}", "")
    yield Choice("frozen", "*training", "")
    teacher, width = ("resnet34", 64) if gpu else ("resnet18", 16)
    clusters = min(5 * len(plan.images.counts), max(2, plan.train // 4))
    yield Choice("distill", f"{{<<: *training, teacher: {teacher}, teacher_width: {width}, clusters: {clusters}}}", "")
    if plan.is_unequal:
        yield Choice("report.metric", "balanced_accuracy", "the mean over classes, because the classes are unequal")


def _list(*items: str) -> str:
    return "".join(f"\n  - {item}" for item in items)
