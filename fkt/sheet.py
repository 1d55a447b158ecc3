"""The augmentation sheet: what the view pipelines make of training images, as a person would see it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.files import replacing
from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.params import Augment, Transform
from fkt.views.batched_engine import BatchedPipeline
from fkt.views.good_crops import DRAWS
from fkt.views.pipeline import build_pipeline

MAX_ROWS = 8
MAX_JUDGED = 2000
LABELLED_COLUMNS = 2
VIEW_COLUMNS = 6
CELL = 0.98
"""Side of a picture in inches: about 98 pixels, whatever the images' own size."""
DPI = 100
MARGIN = 1.3
"""Inches at the left, for the class names."""


def examples(split: Split) -> Tensor:
    """Return the position (R,) of the first image of each class that the split has, at most MAX_ROWS of them."""
    rows = [int((split.labels == label).nonzero()[0, 0]) for label in split.labels.unique().tolist()[:MAX_ROWS]]
    return torch.tensor(rows)


def draw_sheet(split: Split, augment: Augment) -> Figure:
    """Draw one row an example: the original, then views of the labelled pipeline, then SSL views.

    Where crops are judged, those of all examples are, whatever share of the images augment.good_crops says.
    """
    meta, index = split.meta, examples(split)
    stored = split.images(index)
    masks = split.masks(index) if augment.object_share else None
    columns = [("original", stored.permute(0, 2, 3, 1).cpu().numpy())]
    for name, steps, count, object_share in (
        ("labelled", augment.labelled, LABELLED_COLUMNS, 0.0),
        ("view", augment.views, VIEW_COLUMNS, augment.object_share),
    ):
        pipeline = build_pipeline(steps, augment.engine, meta, object_share=object_share)
        made = [pipeline(stored, "sheet", name, number, masks=masks) for number in range(1, count + 1)]
        columns += [(f"{name} {number}", as_seen(views, meta)) for number, views in enumerate(made, 1)]
    lines = [
        f"{meta.dataset}: what the networks are shown (engine: {augment.engine})",
        f"labelled: {_sentence(augment.labelled)}",
        f"view: {_sentence(augment.views)}",
    ]
    if augment.object_share and augment.good_crops < 1:
        lines.append(f"crops: judged in these examples; {_judged_in_training(augment)}")
    return _figure(columns, [meta.classes[int(label)] for label in split.labels[index]], lines)


def crops_line(split: Split, augment: Augment) -> str:
    """Say how many crops hold augment.object_share of the object, on up to MAX_JUDGED training images with masks."""
    pipeline = BatchedPipeline(augment.views, split.meta, augment.object_share)
    masks = split.masks(torch.linspace(0, len(split) - 1, min(len(split), MAX_JUDGED)).long())
    masks = masks[masks.flatten(1).amax(dim=1) > 0]
    if not len(masks):
        return "all masks are empty: no crop is judged"
    first, kept = (
        (shares >= augment.object_share - 1e-9).double().mean().item()
        for shares in pipeline.crop_shares(masks, "sheet")
    )
    return (
        f"of the crops of {len(masks)} training images {100 * first:.1f} % hold {augment.object_share:g} of the object "
        f"as first drawn, {100 * kept:.1f} % after up to {DRAWS} draws; of the others the best is kept"
        + (f"; {_judged_in_training(augment)}" if augment.good_crops < 1 else "")
    )


def _judged_in_training(augment: Augment) -> str:
    """Say whose crops augment.good_crops leaves as they are: which images these are depends on the seed."""
    return (
        f"in training the crops of {100 * augment.good_crops:g} % of the images are judged, the others stay as first "
        "drawn (augment.good_crops)"
    )


def as_seen(images: Tensor, meta: Meta) -> NDArray[np.uint8]:
    """Undo the normalization of (B, C, H, W) images: (B, H, W, C) uint8."""
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (meta.mean, meta.std))
    seen: NDArray[np.uint8] = (
        ((images.cpu() * std + mean) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    )
    return seen


def save_sheet(path: Path, figure: Figure) -> None:
    """Write the sheet as PNG; the same sheet gives the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _sentence(steps: Sequence[Transform]) -> str:
    """Name the transforms in their order, with their probabilities where they are below 1."""
    names = [step.name if step.p == 1 else f"{step.name} ({step.p:g})" for step in steps]
    return ", ".join(names) or "as they are"


def _figure(columns: Sequence[tuple[str, NDArray[np.uint8]]], names: Sequence[str], lines: Sequence[str]) -> Figure:
    """Lay the pictures out in inches, so that the sheet grows with its rows and nothing overlaps."""
    gap, pitch = 0.5 * (CELL - 0.9), CELL + 0.06
    width = MARGIN + pitch * len(columns) + 2 * gap + 0.2
    title = "\n".join(textwrap.fill(line, int(width * 15), subsequent_indent="    ") for line in lines)
    head = 0.42 + 0.17 * (title.count("\n") + 1)
    height = head + pitch * len(names) + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.text(0.15 / width, 1 - 0.12 / height, title, va="top", ha="left", fontsize=9, linespacing=1.25)
    for column, (heading, pictures) in enumerate(columns):
        group = (column > 0) + (column > LABELLED_COLUMNS)
        left = MARGIN + pitch * column + (gap + 0.08) * group
        for row, picture in enumerate(pictures):
            bottom = height - head - pitch * row - CELL
            axes = figure.add_axes((left / width, bottom / height, CELL / width, CELL / height))
            _show(axes, picture)
            if row == 0:
                axes.set_title(heading, fontsize=8, pad=4)
            if column == 0:
                axes.set_ylabel(textwrap.fill(names[row], 16), fontsize=8, rotation=0, ha="right", va="center")
    return figure


def _show(axes: Axes, picture: NDArray[np.uint8]) -> None:
    """Show one picture pixel by pixel; gray where it has one channel."""
    gray: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if picture.shape[2] == 1 else {}
    axes.imshow(picture[:, :, 0] if gray else picture, interpolation="nearest", **gray)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color="0.75", linewidth=0.5)
