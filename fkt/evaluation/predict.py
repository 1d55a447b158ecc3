"""Features and predictions of a stored network for a whole split. Computes no score and trains nothing."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkt.core.errors import Diverged
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier


def features(backbone: ResNet, split: Split, batch_size: int, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return the pooled features of all images of a split, in the split's order: (N, D) float32.

    They are on the backbone's device if that is the CPU or a CUDA device, otherwise on the CPU, because the probes and
    k-means compute in float64.

    The images are not augmented. The backbone is put into eval mode and computes in float32, without autocast, so that
    a score does not depend on the precision of the training, or on the other images of a batch (except for rounding).

    mean, std: one number for each channel, from the model's card: the model needs the normalization of its training.
    Raises Diverged if a feature is not finite.
    """
    device = next(backbone.eval().parameters()).device
    found = torch.empty(len(split), backbone.feature_size, device=device if device.type == "cuda" else "cpu")
    for index in torch.arange(len(split)).split(batch_size):
        found[index] = embed(backbone, split.images(index), mean, std).to(found.device)
    if not torch.isfinite(found).all():
        raise Diverged(
            f"features of the {split.name} images are not all finite; lower the learning rate and train the model again"
        )
    return found


def embed(backbone: ResNet, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return the pooled features of images (B, C, H, W) uint8: (B, D) float32 on the device of the backbone.

    The backbone must be in eval mode. mean, std: see ``features``.
    """
    with torch.inference_mode():
        several = normalize(_at_least(2, images).to(next(backbone.parameters()).device), mean, std)
        found: Tensor = backbone(several)[: len(images)]
    return found


def _at_least(count: int, rows: Tensor) -> Tensor:
    """Repeat a few rows until there are enough: libraries compute few by other algorithms, whose last digits differ."""
    return torch.cat([rows] * math.ceil(count / len(rows))) if 0 < len(rows) < count else rows


def predict(model: Classifier, found: Tensor) -> NDArray[np.float32]:
    """Return the probabilities (N, K) that a classifier's head gives for features (N, D) of its backbone.

    The softmax is computed in float64.
    """
    with torch.no_grad():
        logits: Tensor = model.head(_at_least(16, found).to(model.head.weight.device)).cpu()
    return logits[: len(found)].double().softmax(dim=1).float().numpy()
