"""ImageNet weights for the backbone; never a silent default."""

import pickle
from pathlib import Path
from textwrap import shorten
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fkt.core.errors import CheckpointError
from fkt.models.backbones import ResNet


def load_imagenet(backbone: ResNet, name: str, source: Path | None = None) -> None:
    """Load torchvision's ImageNet-1k weights (first release) into a backbone of width 64 with the ImageNet stem.

    source: a file of these weights, .pth, .pt or .safetensors; None: torchvision downloads them once and checks their
    hash. The file's classifier is left out. Raises CheckpointError if the weights cannot be downloaded or read, or are
    not those of the network ``name``.
    """
    state = _downloaded(name) if source is None else _read(source)
    try:
        backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    except RuntimeError as error:
        raise CheckpointError(
            f"{source or name}: these are not torchvision's weights of a {name}: {shorten(str(error), 200)}; give the "
            "file of this network, or set model.backbone"
        ) from error


def _read(source: Path) -> dict[str, Tensor]:
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise CheckpointError(
            f"imagenet.source: {source} cannot be read ({shorten(str(error), 200)}); give a file of torchvision's "
            "weights, or leave imagenet.source empty"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"imagenet.source: {source} has no state_dict; give a file of torchvision's weights")
    return state


def _downloaded(name: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise CheckpointError(
            f"ImageNet weights need {weights.url}, which could not be downloaded ({error}); download it on a "
            "machine with network into ~/.cache/torch/hub/checkpoints, or into a file for imagenet.source, or set "
            "model.weights: none"
        ) from error
