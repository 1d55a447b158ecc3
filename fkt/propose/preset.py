"""The text of a preset, and what is printed about the images."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fkt.core.errors import plural
from fkt.core.files import one_line
from fkt.data.meta import SPLITS, Meta
from fkt.propose.images import suspected_groups
from fkt.propose.plan import PRETRAIN_SHARE, Plan
from fkt.raw.notes import findings
from fkt.raw.splits import Ints

FEW_TRAIN, FEW_TEST, FEW = 100, 100, 10
"""Fewer training images, test images and images of a class are named as doubtful."""


def preset_text(name: str, plan: Plan) -> str:
    """Return the YAML of the preset ``name``, with the reason of each value as a comment."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - not HTML
        loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return environment.get_template("preset.yaml.j2").render(
        name=name,
        plan=plan,
        prepare=plan.prepare,
        gpu=plan.gpu,
        share=PRETRAIN_SHARE,
        total=plural(len(plan.images.raw), "image"),
        classes=plural(len(plan.images.counts), "class", "classes"),
        color=int(plan.images.color.sum()),
        looked=plural(len(plan.images.rows), "image"),
        unreadable=_few(list(plan.images.unreadable)),
        cell=math.ceil(plan.side / 3),
    )


def seen(plan: Plan) -> Iterator[str]:
    """Yield what the images are, a line each."""
    images, counts = plan.images, plan.images.counts
    formats = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in images.formats.most_common(4))
    of_each = f"{_span(counts)} of each of {plural(len(counts), 'class', 'classes')}"
    origins = ", ".join(sorted(set(images.raw.origins.values())))
    yield f"{plural(len(images.raw), 'image')} ({formats}), {of_each}; {origins}"
    heights, widths = images.sizes.T
    decoded = f" (decoded: {len(images.rows):,})" if images.is_sample or images.unreadable else ""
    copies = len(images.copies) - len(np.unique(images.copies))
    same = f"; {plural(copies, 'copy', 'copies')} of other images, kept in one split with them" if copies else ""
    yield f"{_span(widths)} pixels wide, {_span(heights)} high; color in {int(images.color.sum()):,}{decoded}{same}"
    train, val, test = (f"{plan.number(part):,}" for part in SPLITS)
    groups = f", in {len(np.unique(plan.groups)):,} groups that are not divided" if plan.prepare.groups else ""
    yield f"{train} training, {val} validation and {test} test images{groups}"


def doubts(plan: Plan) -> Iterator[str]:
    """Yield what could make the comparison weak or wrong, a sentence each."""
    images, counts, raw = plan.images, plan.images.counts, plan.images.raw
    if images.unreadable:
        yield f"{plural(len(images.unreadable), 'file')} cannot be read, left out: {_few(list(images.unreadable))}"
    if mixed := images.conflicting:
        pairs = _few([" = ".join(group) for group in mixed])
        yield f"{plural(len(mixed), 'picture')} in several classes, left out: {pairs}"
    labels = raw.labels[images.rows]
    splits: dict[str, list[int]] = {
        part: np.bincount(labels[plan.final == part], minlength=len(counts)).tolist() for part in SPLITS
    }
    for title, (text, names) in findings(Meta("", raw.classes, 0, 3, splits, [], [], notes=raw.notes)).items():
        yield f"{title}: {text}{'; ' * bool(names)}{_few(names)}"
    if plan.train < FEW_TRAIN:
        yield f"{plural(plan.train, 'training image')}: so few teach a network little, and an arm may fail"
    if plan.number("test") < FEW_TEST:
        yield f"{plural(plan.number('test'), 'test image')}: only large differences between the arms can be significant"
    small = [
        f"{raw.classes[label]} ({counts[label]})" for label in np.argsort(counts, kind="stable") if counts[label] < FEW
    ]
    if small:
        yield f"{plural(len(small), 'class', 'classes')} with fewer than {FEW} images, hard to score: {_few(small)}"
    if enlarged := int((images.sizes.min(axis=1) < plan.side).sum()):
        yield f"{plural(enlarged, 'image')} smaller than {plan.side} pixels, and enlarged"
    if plan.prepare.groups is None and (found := suspected_groups(raw)):
        yield f"{found[0]}: if images of one belong together (a patient, a scene), use --groups {found[1]}"
    if images.is_sample:
        yield f"a folder this large is not decoded as a whole: {len(images.rows):,} images were looked at"


def _few(names: Sequence[str]) -> str:
    """Return the first names."""
    return ", ".join(map(one_line, names[:3])) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _span(values: Ints) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"
