"""What a stored network says of a whole split: features, logits, probabilities. Scores nothing, trains nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fkt.core.errors import Diverged
from fkt.core.files import replacing
from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier


def features(
    backbone: ResNet,
    split: Split,
    batch_size: int,
    device: torch.device | str,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Pooled features of every image of a split, in the split's order: (N, D) float32 on the CPU.

    Images are not augmented, and the last batch is as long as it is. The backbone is put into eval mode and computes
    in float32, so that a score does not depend on which short formats a processor has, and an image's features do not
    depend on the batch it is in (beyond the order of float32 additions).

    mean, std: of the model's card, one number a channel; what it was trained with, whatever the data say now.
    Raises Diverged where a feature is not finite.
    """
    backbone.eval()
    found = torch.empty(len(split), backbone.feature_size)
    with torch.inference_mode(), _full_precision():
        for index in torch.split(torch.arange(len(split)), batch_size):
            images = normalize(split.images(index).to(device), mean, std)
            found[index] = backbone(images).cpu()
    if not torch.isfinite(found).all():
        raise Diverged(
            f"features of the {split.name} images are not all finite; lower the learning rate and train the model again"
        )
    return found


def logits_of(model: Classifier, found: Tensor) -> Tensor:
    """Logits that a classifier's head gives for features of its backbone: (N, D) -> (N, K) float32 on the CPU."""
    with torch.inference_mode():
        logits = model.head(found.to(model.head.weight.device)).cpu()
    return torch.empty_like(logits).copy_(logits)  # a tensor made in inference mode could never meet autograd again


def probabilities_of(logits: Tensor) -> NDArray[np.float32]:
    """Softmax over classes, computed in float64: (N, K) logits -> (N, K) float32 in [0, 1]."""
    return logits.double().softmax(dim=1).float().numpy()


def fingerprint(module: nn.Module) -> str:
    """Return the sha256 over names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Prove that what is done inside leaves a module as it was: a probe measures features, it does not train them.

    A probe that also trains the backbone, or lets BatchNorm see test images, is the classic wrong evaluation.
    Raises AssertionError, also under ``python -O``, where a parameter or buffer has changed: our mistake.
    """
    before = fingerprint(module)
    yield
    if fingerprint(module) != before:
        raise AssertionError(f"evaluation changed the {type(module).__name__} that it evaluates")


def write_predictions(
    path: Path, probabilities: NDArray[np.float32], labels: NDArray[np.int64], ids: NDArray[np.int64]
) -> None:
    """Write probabilities (N, K), labels (N,) and ids (N,) as npz, to a temporary name first.

    Equal arrays give equal bytes: np.savez stamps every member with the zip format's first day, 1980-01-01.
    """
    with replacing(path) as partial, partial.open("wb") as file:  # np.savez appends .npz to a name, not to a file
        np.savez(file, allow_pickle=False, probabilities=probabilities, labels=labels, ids=ids)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep cuDNN from TF32, which it uses for float32 convolutions unless told not to, and from autotuning."""
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
