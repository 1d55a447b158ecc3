"""The activation maps of one mode over the images that every mode draws; how they are computed is in cam.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.files import replacing
from fkt.data.keys import keyed_generator
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.evaluation.cam import CLASS_MAPS, choose_layer, eigencam, map_sides
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import Card
from fkt.models.classifier import Classifier
from fkt.params import Cam

BATCH_SIZE = 16
"""Images at a time: gradients of a ResNet-50 at 224 pixels then stay within about 2 GB."""
DECIMALS = 4
"""Of the stored maps; finer than a figure shows, coarse enough to hide the order of a sum."""


@dataclass(frozen=True)
class Maps:
    """The maps of the chosen images and, where the model has classes, what it says of them."""

    method: str
    layer: str
    side: int
    """Positions on the shorter side of the feature map that the maps are drawn from."""
    target: str | None
    """Whose evidence is drawn: the predicted or the true class's; None where there are no classes."""
    maps: NDArray[np.float32]
    """(M, H, W) in [0, 1]."""
    predicted: NDArray[np.int64] | None
    """(M,)."""
    confidence: NDArray[np.float32] | None
    """(M,) probability of the predicted class."""


def choose_candidates(labels: Tensor, count: int) -> Tensor:
    """Choose the test images that maps are drawn for, without regard to any model: (M,) int64 positions.

    labels: (N,) int64. The images are drawn by a fixed key, class by class in turn, so every class has the same
    share (while it has images), the first few already span the classes, and a larger count only adds to a smaller.
    """
    order = torch.randperm(len(labels), generator=keyed_generator("cam", "candidates"))
    turns = torch.zeros(len(labels), dtype=torch.int64)  # how many of its class come before each image
    for label in labels.unique():
        members = labels[order] == label
        turns[members] = torch.arange(int(members.sum()))
    rank = torch.argsort(turns * (labels.max() + 1) + labels[order])
    return order[rank][:count]


def classifier_maps(classifier: Classifier, card: Card, split: Split, positions: Tensor, cam: Cam) -> Maps:
    """Draw the evidence for the predicted or the true class (``cam.target``) with ``cam.method``.

    card: of the model, which says how its images are normalized; positions: (M,) int64 in the split.
    Raises ParamsError where no layer has ``cam.min_positions``.
    """
    sides = map_sides(classifier.backbone, _images(card, split, positions[:1]))
    method, layer = choose_layer(cam.method, sides, cam.min_positions)
    drawn, confidences, classes = [], [], []
    for batch in positions.split(BATCH_SIZE):
        images = _images(card, split, batch)
        with torch.no_grad():
            confidence, predicted = classifier(images).softmax(dim=1).max(dim=1)
        target = predicted if cam.target == "predicted" else split.labels[batch]
        drawn.append(CLASS_MAPS[method](classifier, images, target, classifier.backbone.get_submodule(layer)))
        confidences.append(confidence)
        classes.append(predicted)
    return Maps(
        method=method,
        layer=layer,
        side=sides[layer],
        target=cam.target,
        maps=_rounded(torch.cat(drawn)),
        predicted=torch.cat(classes).numpy(),
        confidence=torch.cat(confidences).numpy(),
    )


def backbone_maps(backbone: ResNet, card: Card, split: Split, positions: Tensor, cam: Cam) -> Maps:
    """Draw the first principal component of the features, for a model without classes; see classifier_maps."""
    sides = map_sides(backbone, _images(card, split, positions[:1]))
    method, layer = choose_layer("eigencam", sides, cam.min_positions)
    module = backbone.get_submodule(layer)
    drawn = [eigencam(backbone, _images(card, split, batch), module) for batch in positions.split(BATCH_SIZE)]
    return Maps(method, layer, sides[layer], None, _rounded(torch.cat(drawn)), None, None)


def save_maps(path: Path, split: Split, positions: Tensor, maps: Maps) -> None:
    """Write maps with their images, labels and ids as an npz whose bytes depend on nothing else."""
    arrays = {
        "ids": split.ids[positions].numpy(),
        "images": split.images(positions).permute(0, 2, 3, 1).contiguous().numpy(),
        "labels": split.labels[positions].numpy(),
        "maps": maps.maps,
        "method": np.array(maps.method),
        "layer": np.array(maps.layer),
        "side": np.array(maps.side),
    }
    if maps.predicted is not None and maps.confidence is not None:
        arrays |= {"predicted": maps.predicted, "confidence": maps.confidence, "target": np.array(maps.target)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _images(card: Card, split: Split, positions: Tensor) -> Tensor:
    return normalize(split.images(positions), card.mean, card.std)


def _rounded(maps: Tensor) -> NDArray[np.float32]:
    return np.round(maps.numpy(), DECIMALS)
