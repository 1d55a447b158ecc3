"""Activation maps of one mode for test images that are the same in every mode. The formulas are in cam.py."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from fkt.data.keys import keyed_generator
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.evaluation.cam import CLASS_MAPS, choose_layer, eigencam, map_sides
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import Card
from fkt.models.classifier import Classifier
from fkt.params import Cam

BATCH_SIZE = 16
"""Images in a batch. The gradients of a ResNet-50 at 224 pixels then need less than about 2 GB."""
LONGEST_SIDE = 128
"""Larger images and their maps are stored reduced to this side: pictures need no more."""
DECIMALS = 4
"""Decimals of the stored maps: finer than a figure shows, and too coarse to show the rounding errors of a sum."""


def choose_candidates(labels: Tensor, count: int) -> Tensor:
    """Choose the test images that maps are computed for: (M,) int64 positions. The choice depends on no model.

    labels: (N,) int64. The classes take turns, and the images of a class come in an order drawn with a fixed key. So
    all classes have equal shares (until one has no more images), and a larger count only appends images.
    """
    order = torch.randperm(len(labels), generator=keyed_generator("cam", "candidates"))
    turns = torch.zeros(len(labels), dtype=torch.int64)  # number of earlier images of the same class
    for label in labels.unique():
        members = labels[order] == label
        turns[members] = torch.arange(int(members.sum()))
    rank = torch.argsort(turns * (labels.max() + 1) + labels[order])
    return order[rank][:count]


def compute_maps(
    model: Classifier | ResNet, card: Card, split: Split, positions: Tensor, cam: Cam
) -> dict[str, NDArray[Any]]:
    """Return the activation maps of the images at ``positions`` (M,) of a split, with everything a figure needs.

    A classifier gets maps of the predicted or the true class (``cam.target``), by ``cam.method``. A backbone gets
    Eigen-CAM maps, which need no class. card: the model's card, for the normalization of its images.

    The arrays are ids (M,), images (M, H, W, C) uint8, labels (M,), maps (M, H, W) float32 in [0, 1] (both with at most
    LONGEST_SIDE pixels a side), the names
    ``method`` and ``layer``, and ``side``, the shorter side of the layer's feature map in positions. For a classifier
    also predicted (M,), confidence (M,), the probability of the predicted class, and the name ``target``.
    Raises ParamsError if no layer has ``cam.min_positions``.
    """
    backbone = model.backbone if isinstance(model, Classifier) else model
    sides = map_sides(backbone, normalize(split.images(positions[:1]), card.mean, card.std))
    wanted = cam.method if isinstance(model, Classifier) else "eigencam"
    method, layer = choose_layer(wanted, sides, cam.min_positions)
    module = backbone.get_submodule(layer)
    maps, confidences, classes = [], [], []
    for batch in positions.split(BATCH_SIZE):
        images = normalize(split.images(batch), card.mean, card.std)
        if isinstance(model, Classifier):
            with torch.no_grad():
                confidence, predicted = model(images).softmax(dim=1).max(dim=1)
            target = predicted if cam.target == "predicted" else split.labels[batch]
            maps.append(CLASS_MAPS[method](model, images, target, module))
            confidences.append(confidence)
            classes.append(predicted)
        else:
            maps.append(eigencam(model, images, module))
    pictures = torch.cat([_reduced(split.images(batch)) for batch in positions.split(BATCH_SIZE)])
    arrays: dict[str, NDArray[Any]] = {
        "ids": split.ids[positions].numpy(),
        "images": pictures.permute(0, 2, 3, 1).contiguous().numpy(),
        "labels": split.labels[positions].numpy(),
        "maps": np.round(_reduced(torch.cat(maps)[:, None])[:, 0].numpy(), DECIMALS),
        "method": np.array(method),
        "layer": np.array(layer),
        "side": np.array(sides[layer]),
    }
    if isinstance(model, Classifier):
        arrays |= {
            "predicted": torch.cat(classes).numpy(),
            "confidence": torch.cat(confidences).numpy(),
            "target": np.array(cam.target),
        }
    return arrays


def _reduced(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) with at most LONGEST_SIDE positions a side, each a mean of those that it replaces."""
    if images.shape[-1] <= LONGEST_SIDE:
        return images
    small = functional.adaptive_avg_pool2d(images.float(), LONGEST_SIDE)
    return small.round().to(torch.uint8) if images.dtype == torch.uint8 else small
