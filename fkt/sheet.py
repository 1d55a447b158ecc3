"""The augmentation sheet: training images and their augmented views, for checking the augmentation by eye."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.files import replacing
from fkt.core.fonts import drawable
from fkt.data.meta import Meta
from fkt.data.originals import examples
from fkt.data.store import Split
from fkt.params import Augment, Transform
from fkt.views.object_crops import ObjectCrops
from fkt.views.pipeline import build_pipeline

LABELLED_COLUMNS = 2
VIEW_COLUMNS = 6
CELL = 0.98
"""Side of a picture in inches: about 98 pixels, whatever the size of the images."""
DPI = 100
MARGIN = 1.3
"""Left margin in inches, for the class names."""

Picture = NDArray[np.uint8]
"""(H, W, C)."""
Column = tuple[str, list[Picture]]
"""Heading and one picture per example."""


def draw_sheet(
    split: Split, augment: Augment, originals: Mapping[int, Picture], crops: ObjectCrops | None = None
) -> Figure:
    """Draw one row per example: the original, the prepared image, views of the labelled pipeline, SSL views.

    originals: see fkt.data.originals; without any, the prepared images are the originals. crops: the choice of crops by
    masks in the SSL views; None = off.
    """
    meta, index = split.meta, torch.from_numpy(examples(split.labels.numpy()))
    stored = split.images(index)
    prepared = list(stored.permute(0, 2, 3, 1).cpu().numpy())
    whole = [originals.get(row, image) for row, image in zip(split.ids[index].tolist(), prepared, strict=True)]
    groups = [[("original", whole)] + ([("prepared", prepared)] if originals else [])]
    for name, steps, count, chosen in (
        ("labelled", augment.labelled, LABELLED_COLUMNS, None),
        ("view", augment.views, VIEW_COLUMNS, crops),
    ):
        pipeline = build_pipeline(steps, augment.engine, meta, chosen)
        views = [pipeline(stored, "sheet", name, number, index=index) for number in range(1, count + 1)]
        groups.append([(f"{name} {number}", list(as_seen(view, meta))) for number, view in enumerate(views, start=1)])
    names = drawable(meta.classes)
    lines = [
        f"{meta.dataset}: what the networks are shown (engine: {augment.engine})",
        f"labelled: {_sentence(augment.labelled)}",
        f"view: {_sentence(augment.views)}",
    ]
    if crops is not None and augment.good_crops < 1:
        share = f"{100 * augment.good_crops:g} % of the images"
        lines.append(f"crops: drawn again for all examples here, for {share} in training (augment.good_crops)")
    return _figure(groups, [names[int(label)] for label in split.labels[index]], lines)


def as_seen(images: Tensor, meta: Meta) -> NDArray[np.uint8]:
    """Undo the normalization of images (B, C, H, W): (B, H, W, C) uint8."""
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (meta.mean, meta.std))
    seen: NDArray[np.uint8] = (
        ((images.cpu() * std + mean) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    )
    return seen


def save_sheet(path: Path, figure: Figure) -> None:
    """Write the sheet as PNG. The same sheet gives the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _sentence(steps: Sequence[Transform]) -> str:
    """List the transforms in their order, with their probabilities if these are below 1."""
    names = [step.name if step.p == 1 else f"{step.name} ({step.p:g})" for step in steps]
    return ", ".join(names) or "as they are"


def _figure(groups: Sequence[Sequence[Column]], names: Sequence[str], lines: Sequence[str]) -> Figure:
    """Lay the pictures out in inches, so that the figure grows with the number of rows and nothing overlaps.

    groups: of columns, with a gap after each.
    """
    columns = [(group, *column) for group, members in enumerate(groups) for column in members]
    gap, pitch = 0.5 * (CELL - 0.9), CELL + 0.06
    width = MARGIN + pitch * len(columns) + 2 * gap + 0.2
    title = "\n".join(textwrap.fill(line, int(width * 15), subsequent_indent="    ") for line in lines)
    head = 0.42 + 0.17 * (title.count("\n") + 1)
    height = head + pitch * len(names) + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    place = 0.15 / width, 1 - 0.12 / height
    figure.text(*place, title, va="top", ha="left", fontsize=9, linespacing=1.25, parse_math=False)
    for column, (group, heading, pictures) in enumerate(columns):
        left = MARGIN + pitch * column + (gap + 0.08) * group
        for row, picture in enumerate(pictures):
            bottom = height - head - pitch * row - CELL
            axes = figure.add_axes((left / width, bottom / height, CELL / width, CELL / height))
            # imshow ignores the color map if there are three channels.
            axes.imshow(picture.squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(color="0.75", linewidth=0.5)
            if row == 0:
                axes.set_title(heading, fontsize=8, pad=4)
            if column == 0:
                name = textwrap.fill(names[row], 16)  # a $ in a name is a $
                axes.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center", parse_math=False)
    return figure
