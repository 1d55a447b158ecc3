"""Draws activation maps: the same test images, side by side, for every model (arXiv:2304.01354, Fig. 4)."""

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
from fkt.core.files import replacing
from fkt.core.fonts import drawable
from fkt.report.arms import Maps, check_same_images

METHODS = {"cam": "CAM", "gradcam": "Grad-CAM", "layercam": "LayerCAM", "eigencam": "Eigen-CAM"}
RIGHT, WRONG = ("\u2713", "#00724F"), ("\u2717", "#B83A00")
"""Mark and color of a caption; the mark is for readers who cannot see the colors."""
COLORS = "inferno"
OPACITY = 0.6
"""Opacity of the map over the image, constant so that a color means the same on black and on white."""
DPI = 100
"""Pictures compress badly, and the figure is in git."""
CELL = 1.55
"""Side of a picture in inches."""
CHARACTERS_PER_INCH = 12
"""Width of the title's characters."""


def choose_rows(maps: Sequence[Maps], count: int) -> list[int]:
    """Choose the images to show: in turn, an image that the modes disagree on, that all get right, that all get wrong.

    maps: of the modes with predictions, for the same images. Within these three kinds, the class and then the pattern
    of right and wrong that was shown least comes first, then the order of the candidates. Returns at most ``count``
    positions, sorted by class.
    """
    labels = maps[0].labels
    right = np.stack([model.predicted == labels for model in maps])  # (modes, M)
    patterns = [tuple(column) for column in right.T.tolist()]
    all_right, any_right = right.all(axis=0), right.any(axis=0)
    kinds = [np.flatnonzero(kind).tolist() for kind in (any_right & ~all_right, all_right, ~any_right)]
    chosen: list[int] = []
    classes: Counter[int] = Counter()
    shown: Counter[tuple[bool, ...]] = Counter()
    while len(chosen) < count and any(kinds):
        for kind in kinds:
            if kind and len(chosen) < count:
                row = min(kind, key=lambda row: (classes[int(labels[row])], shown[patterns[row]], row))
                kind.remove(row)
                chosen.append(row)
                classes[int(labels[row])] += 1
                shown[patterns[row]] += 1
    return sorted(chosen, key=lambda row: (int(labels[row]), row))


def draw_maps(maps: Sequence[Maps], classes: Sequence[str], count: int, title: str, path: Path, *, seed: int) -> None:
    """Draw ``count`` test images (rows) with the map and the prediction of every model (columns).

    seed: seed of the models. Raises MissingResult if the maps are not of the same images.
    """
    check_same_images(maps)
    rows = choose_rows([model for model in maps if model.predicted is not None], count)
    names = drawable(classes)
    captions = [[_caption(model, row, names) for model in maps] for row in rows]
    lines = max(text.count("\n") for row in captions for text, _ in row)
    size = (CELL * (len(maps) + 1) + 0.5, (CELL + 0.14 * (1 + lines) + 0.1) * len(rows) + 1.7)
    with mpl.rc_context():
        mpl.rcdefaults()  # not the user's matplotlibrc
        mpl.rcParams["text.parse_math"] = False  # a $ in a name is a $
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(rows), len(maps) + 1, squeeze=False)
        for (first, *others), row, texts in zip(grid, rows, captions, strict=True):
            image = maps[0].images[row]
            _show_image(first, image)
            first.set_ylabel(textwrap.fill(names[maps[0].labels[row]], 18), fontsize=9)
            for axes, model, (text, color) in zip(others, maps, texts, strict=True):
                _show_image(axes, image.mean(axis=2))
                axes.imshow(model.maps[row], cmap=COLORS, vmin=0, vmax=1, alpha=OPACITY, interpolation="bilinear")
                axes.set_xlabel(text, fontsize=8, color=color)
        for axes, heading in zip(grid[0], ["test image\n(true class\non the left)", *map(_heading, maps)], strict=True):
            axes.set_title(heading, fontsize=9)
        bar = figure.colorbar(
            ScalarMappable(cmap=COLORS), ax=list(grid.flat), orientation="horizontal", aspect=50, shrink=0.6, pad=0.01
        )
        bar.set_label("importance, relative to the highest in the image", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        target = next(model.target for model in maps if model.target is not None)
        note = (
            f"{len(rows)} of {len(maps[0].ids)} candidate images, chosen to show right and wrong predictions; maps for "
            f"the {target} class; models of seed {seed} only"
        )
        figure.suptitle(f"{title}\n{textwrap.fill(note, int(CHARACTERS_PER_INCH * size[0]))}", fontsize=10)
        with replacing(path) as partial:  # without the version of the software, so that equal maps give equal bytes
            figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Show (H, W) or (H, W, C) in [0, 255]; small images are enlarged without smoothing."""
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _caption(model: Maps, row: int, classes: Sequence[str]) -> tuple[str, str]:
    """Return the prediction of a model for an image, and the color that says whether it is right."""
    if model.predicted is None or model.confidence is None:
        return "no classifier", "#555555"
    predicted = int(model.predicted[row])
    mark, color = RIGHT if predicted == model.labels[row] else WRONG
    # A no-break space, so that the percent sign stays with its number.
    return textwrap.fill(f"{mark} {classes[predicted]}, {100 * model.confidence[row]:.0f}\u00a0%", 24), color


def _heading(model: Maps) -> str:
    name = "SSL only" if model.mode == PRETRAINED else model.mode
    return f"{name}\n{METHODS[model.method]}\n{model.layer}, {model.side} x {model.side}"
