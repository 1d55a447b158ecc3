"""Pictures of where a trained model sees the evidence for its prediction; the formulas are in cam.py."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fkt.core.files import one_line, replacing
from fkt.data.normalize import normalize
from fkt.evaluation.cam import CLASS_MAPS, choose_layer, map_sides
from fkt.evaluation.trained import Predictions, TrainedModel
from fkt.raw.source import Pixels

BATCH_SIZE = 16
MIN_POSITIONS = 6
"""Smallest side of a feature map that a map is drawn from, if the network has such a layer."""
SIDE = 256
"""Smaller images are enlarged to about this side."""
OPACITY = 0.6
"""Opacity of the map over the image."""
NAME_LENGTH = 50
"""Characters of a file name that a picture's name repeats."""


def draw_overlays(model: TrainedModel, found: Predictions, folder: Path) -> None:
    """Write ``NUMBER-NAME.png`` for each prediction: the image as the model sees it, and its activation map over it.

    The number is the prediction's position, from 1. The map is for the predicted class. Several seeds give the mean of
    their maps.
    """
    digits = len(str(len(found)))
    for start in range(0, len(found), BATCH_SIZE):
        paths = found.paths[start : start + BATCH_SIZE]
        pixels = np.stack([model.pixels(path) for path in paths])
        target = found.probabilities[start : start + BATCH_SIZE].argmax(axis=1)
        pictures = zip(paths, pixels, compute_heat(model, pixels, target), strict=True)
        for number, (path, image, heat) in enumerate(pictures, start + 1):
            name = one_line(path.stem)[:NAME_LENGTH]
            with replacing(folder / f"{number:0{digits}d}-{name}.png") as partial:
                Image.fromarray(overlay(image, heat)).save(partial, format="PNG")


def compute_heat(model: TrainedModel, pixels: Pixels, target: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return activation maps (B, H, W) in [0, 1] for classes ``target`` (B,) of images (B, H, W, C) uint8."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(model.device)
    images, classes = normalize(images, model.card.mean, model.card.std), torch.from_numpy(target).to(model.device)
    maps = []
    with model.threads(len(pixels)):
        for member in model.members:
            sides = map_sides(member.backbone, images)
            method, layer = choose_layer("auto", sides, min(MIN_POSITIONS, max(sides.values())))
            maps.append(CLASS_MAPS[method](member, images, classes, member.backbone.get_submodule(layer)))
    heat: NDArray[np.float32] = torch.stack(maps).mean(dim=0).cpu().numpy()
    return heat


def overlay(image: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Return an image (S, S, C) and, on its right, the same in gray below its map (S, S): (T, 2 T, 3)."""
    import cv2

    side = math.ceil(SIDE / len(image)) * len(image)
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST).reshape(side, side, -1)
    smooth = cv2.resize(heat, (side, side), interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.round(255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    gray = large.mean(axis=2, keepdims=True)
    blended = np.round((1 - OPACITY) * gray + OPACITY * colors).astype(np.uint8)
    return np.hstack([np.broadcast_to(large, blended.shape), blended])
