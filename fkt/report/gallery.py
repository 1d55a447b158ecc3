"""The test images on the page: which ones, their predictions, and their pictures as data URIs.

All come from the candidates of the stage cam, which stores their pixels and activation maps; nothing here opens the
test split.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from fkt.report.arms import Arm, Maps, MissingResult, check_same_images

SHOWN = 8
"""Images in a row of pictures."""
PER_CELL = 4
"""Images for a cell of the confusion matrix."""
MOST = 360
"""Largest number of images on the page; each takes a few kilobytes."""
OPACITY = 0.6
"""Opacity of a map over the gray image, constant so that a color means the same on black and on white."""
LOSSLESS_SIDE = 48
"""Longest side of pictures stored as PNG; larger ones are JPEG."""
LONGEST_SIDE = 128

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Gallery:
    """Pictures and predictions, and the groups in which the page shows them."""

    images: list[dict[str, Any]]
    """Of each image: file, actual class, picture, and for each arm prediction, probability, right seeds, and map."""
    wrong: dict[str, list[int]]
    """For each arm, positions in ``images`` of those that it gets wrong, the most confident first."""
    differ: list[tuple[str, str, list[int]]]
    """For two arms, the images that the first gets right and the second wrong, the largest difference first."""
    cells: dict[str, dict[str, list[int]]]
    """For each arm and "actual,predicted" (class numbers), some images, the most confident first."""
    candidates: int
    """Number of test images that were looked at."""


@dataclass(frozen=True)
class _Seen:
    """What an arm says about the candidates, as a mean over its seeds."""

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """(M,) probability of the predicted class."""
    of_truth: NDArray[np.float64]
    """(M,) probability of the true class."""
    right_seeds: NDArray[np.int64]


def make_gallery(
    arms: Sequence[Arm], maps: Sequence[Maps], pairs: Sequence[tuple[str, str]], files: Sequence[str]
) -> Gallery:
    """Choose the images of the page and draw them. files: name of each row of images.npy.

    pairs: arms that are compared. Raises MissingResult if the maps are not of the same images.
    """
    check_same_images(maps)
    ids, labels = maps[0].ids, maps[0].labels
    row_of = {number: row for row, number in enumerate(arms[0].ids.tolist())}
    if not set(ids.tolist()) <= set(row_of):
        raise MissingResult("activation maps and scores are of different test images; run 'dvc repro' to update both")
    rows = np.array([row_of[number] for number in ids.tolist()])
    seen = {arm.mode: _seen(arm, rows, labels) for arm in arms}

    wrong = {mode: _ordered(one.predicted != labels, one.confidence) for mode, one in seen.items()}
    differ = []
    for a, b in [pair for first, second in pairs for pair in ((first, second), (second, first))]:
        only_a = (seen[a].predicted == labels) & (seen[b].predicted != labels)
        differ.append((a, b, _ordered(only_a, seen[a].of_truth - seen[b].of_truth)))
    cells: dict[str, dict[str, list[int]]] = {}
    for mode, one in seen.items():
        cells[mode] = {}
        for position in _ordered(np.ones(len(labels), bool), one.confidence, count=len(labels)):
            key = f"{labels[position]},{one.predicted[position]}"
            if len(found := cells[mode].setdefault(key, [])) < PER_CELL:
                found.append(position)

    groups = [*wrong.values(), *(found for *_, found in differ)]
    groups += [found for of_mode in cells.values() for key, found in of_mode.items() if not _diagonal(key)]
    groups += [found for of_mode in cells.values() for key, found in of_mode.items() if _diagonal(key)]
    chosen = list(dict.fromkeys(position for group in groups for position in group))[:MOST]
    place = {position: number for number, position in enumerate(chosen)}

    def placed(group: Sequence[int]) -> list[int]:
        return [place[position] for position in group if position in place]

    pictures = {model.mode: model for model in maps}
    return Gallery(
        images=[
            {
                "file": files[ids[position]],
                "actual": int(labels[position]),
                "picture": picture(maps[0].images[position]),
                "arms": {mode: _words(one, pictures.get(mode), position) for mode, one in seen.items()},
            }
            for position in chosen
        ],
        wrong={mode: placed(found) for mode, found in wrong.items()},
        differ=[(a, b, placed(found)) for a, b, found in differ],
        cells={mode: {key: placed(found) for key, found in of_mode.items()} for mode, of_mode in cells.items()},
        candidates=len(ids),
    )


def picture(image: Pixels) -> str:
    """Return an image (H, W, C) as a data URI; large images are reduced."""
    drawn = Image.fromarray(image.squeeze(axis=2) if image.shape[2] == 1 else image)
    drawn.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stream, lossless = io.BytesIO(), max(drawn.size) <= LOSSLESS_SIDE
    drawn.save(stream, "PNG" if lossless else "JPEG", optimize=True)
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def map_over(image: Pixels, found: NDArray[np.float32]) -> Pixels:
    """Return an activation map (H, W) in [0, 1] in colors over the gray image (H, W, C)."""
    gray = image.mean(axis=2, keepdims=True)
    colors = 255 * colormaps["inferno"](found)[..., :3]
    drawn: Pixels = np.round(OPACITY * colors + (1 - OPACITY) * gray).astype(np.uint8)
    return drawn


def _seen(arm: Arm, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> _Seen:
    mean = arm.probabilities[:, rows].mean(axis=0, dtype=np.float64)
    every = np.arange(len(rows))
    predicted = mean.argmax(axis=1)
    right = (arm.predicted[:, rows] == labels).sum(axis=0)
    return _Seen(predicted, mean[every, predicted], mean[every, labels], right)


def _ordered(which: NDArray[np.bool_], size: NDArray[np.float64], count: int = SHOWN) -> list[int]:
    """Return the positions where ``which`` is true, the largest size first."""
    order = np.argsort(-size, kind="stable")
    found: list[int] = order[which[order]][:count].tolist()
    return found


def _diagonal(key: str) -> bool:
    actual, predicted = key.split(",")
    return actual == predicted


def _words(one: _Seen, model: Maps | None, position: int) -> dict[str, Any]:
    """Return what an arm says about one image, with its map."""
    content: dict[str, Any] = {
        "predicted": int(one.predicted[position]),
        "percent": round(100 * float(one.confidence[position])),
        "right": int(one.right_seeds[position]),
    }
    if model is not None:
        content["map"] = picture(map_over(model.images[position], model.maps[position]))
    return content
