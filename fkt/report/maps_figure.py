"""The figure of activation maps: the same test images, side by side, through every model (arXiv:2304.01354, Fig. 4)."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fkt.core.arms import PRETRAINED
from fkt.report.drawn_maps import DrawnMaps
from fkt.report.figures import save_figure
from fkt.report.run_files import MissingResult

METHODS = {"cam": "CAM", "gradcam": "Grad-CAM", "layercam": "LayerCAM", "eigencam": "Eigen-CAM"}
HIT, MISS = ("\u2713", "#00724F"), ("\u2717", "#B83A00")
"""Mark and color: the marks say it to those who do not see the colors."""
COLORS = "inferno"
OPACITY = 0.6
"""Of the evidence over the image: the same everywhere, so that a color means the same on black and on white."""
DPI = 100
"""Pictures compress badly, and the figure is kept in git."""
CELL = 1.55
"""Side of a picture in inches."""
CHARACTERS_PER_INCH = 12
"""Of the title."""


def choose_rows(drawn: Sequence[DrawnMaps], count: int) -> list[int]:
    """Choose the images to show: in turn one that the modes differ on, one that all get right, one that all miss.

    drawn: maps of the modes (with predictions) on the same images. Within a kind, the class and then the pattern of
    hits and misses that was shown least comes first, then the order of the candidates. Returns at most ``count``
    positions, sorted by class.
    """
    labels = drawn[0].labels
    hits = np.stack([maps.predicted == labels for maps in drawn])  # (modes, M)
    patterns = [tuple(column) for column in hits.T.tolist()]
    kinds = [
        [int(row) for row in np.flatnonzero(~hits.all(axis=0) & hits.any(axis=0))],
        [int(row) for row in np.flatnonzero(hits.all(axis=0))],
        [int(row) for row in np.flatnonzero(~hits.any(axis=0))],
    ]
    chosen: list[int] = []
    classes: Counter[int] = Counter()
    shown: Counter[tuple[bool, ...]] = Counter()
    while len(chosen) < count and any(kinds):
        for kind in kinds:
            if not kind or len(chosen) == count:
                continue
            row = min(kind, key=lambda row: (classes[int(labels[row])], shown[patterns[row]], row))
            kind.remove(row)
            chosen.append(row)
            classes[int(labels[row])] += 1
            shown[patterns[row]] += 1
    return sorted(chosen, key=lambda row: (int(labels[row]), row))


def draw_maps(
    drawn: Sequence[DrawnMaps], classes: Sequence[str], count: int, title: str, path: Path, *, seed: int
) -> None:
    """Draw ``count`` test images (rows) through every model (columns), with what each takes them for.

    seed: of the models. Raises MissingResult where the models' maps are not of the same images.
    """
    for maps in drawn:
        if not np.array_equal(maps.ids, drawn[0].ids):
            raise MissingResult(f"the maps of {maps.mode} and {drawn[0].mode} show different images; run 'dvc repro'")
    rows = choose_rows([maps for maps in drawn if maps.predicted is not None], count)
    with mpl.rc_context():
        mpl.rcdefaults()
        captions = [_caption(maps, row, classes)[0] for maps in drawn for row in rows]
        row_height = CELL + 0.14 * (1 + max(caption.count("\n") for caption in captions)) + 0.1
        size = (CELL * (len(drawn) + 1) + 0.5, row_height * len(rows) + 1.7)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(rows), len(drawn) + 1, squeeze=False)
        for axes_row, row in zip(grid, rows, strict=True):
            image = drawn[0].images[row]
            _show_image(axes_row[0], image)
            axes_row[0].set_ylabel(textwrap.fill(classes[drawn[0].labels[row]], 18), fontsize=9)
            for axes, maps in zip(axes_row[1:], drawn, strict=True):
                _show_overlay(axes, image, maps.maps[row])
                text, color = _caption(maps, row, classes)
                axes.set_xlabel(text, fontsize=8, color=color)
        for axes, heading in zip(
            grid[0], ["test image\n(true class\non the left)", *map(_heading, drawn)], strict=True
        ):
            axes.set_title(heading, fontsize=9)
        bar = figure.colorbar(
            ScalarMappable(cmap=COLORS), ax=list(grid.flat), orientation="horizontal", aspect=50, shrink=0.6, pad=0.01
        )
        bar.set_label("share of the strongest evidence in the image", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        note = textwrap.fill(_note(drawn, len(rows), seed), int(CHARACTERS_PER_INCH * size[0]))
        figure.suptitle(f"{title}\n{note}", fontsize=10)
        save_figure(figure, path, DPI)


def _show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Show (H, W[, C]) in [0, 255] as it is, small ones enlarged pixel by pixel."""
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _show_overlay(axes: Axes, image: NDArray[np.uint8], evidence: NDArray[np.float32]) -> None:
    """Show evidence as color over the image in gray."""
    _show_image(axes, image.mean(axis=2))
    axes.imshow(evidence, cmap=COLORS, vmin=0, vmax=1, alpha=OPACITY, interpolation="bilinear")


def _caption(maps: DrawnMaps, row: int, classes: Sequence[str]) -> tuple[str, str]:
    """Return what the model takes an image for, and the color that says whether it is right."""
    if maps.predicted is None or maps.confidence is None:
        return "no classes", "#555555"
    predicted = int(maps.predicted[row])
    mark, color = HIT if predicted == maps.labels[row] else MISS
    return textwrap.fill(f"{mark} {classes[predicted]}, {100 * maps.confidence[row]:.0f} %", 24), color


def _heading(maps: DrawnMaps) -> str:
    name = "SSL only" if maps.mode == PRETRAINED else maps.mode
    return f"{name}\n{METHODS[maps.method]}\n{maps.layer}, {maps.side} x {maps.side}"


def _note(drawn: Sequence[DrawnMaps], shown: int, seed: int) -> str:
    """Say how the images were chosen, what is drawn, and of which models."""
    target = next(maps.target for maps in drawn if maps.target is not None)
    count = len(drawn[0].ids)
    return (
        f"{shown} of {count} candidate images, picked to show hits and misses; evidence for the {target} class, in the "
        f"models of seed {seed} alone"
    )
