"""Models on disk: weights in safetensors and a JSON card that says what they are; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fkt.core.arms import NETWORKS
from fkt.core.errors import CheckpointError
from fkt.core.files import replacing, write_json
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import Model

WEIGHTS = "weights.safetensors"
CARD = "card.json"
REMEDY = "run 'dvc repro' to train it, or 'dvc checkout -d dvc.yaml' to restore it"


@dataclass(frozen=True)
class Card:
    """What one needs to know to use a stored model: everything but the weights."""

    mode: str
    seed: int
    dataset: str
    classes: list[str]
    """Class names; a prediction is a position in this list."""
    image_size: int
    channels: int
    mean: list[float]
    """Subtracted from pixels in [0, 1]."""
    std: list[float]
    """Divides them afterwards."""
    model: dict[str, Any]
    """The model section of params.yaml."""
    training: dict[str, Any] = field(default_factory=dict)
    """The params that made it, and which step was kept by which rule."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python and the libraries."""


def save_model(folder: Path, module: nn.Module, card: Card) -> None:
    """Write weights and card; each to a temporary name first."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with replacing(folder / WEIGHTS) as partial:
        save_file(tensors, partial)
    write_json(folder / CARD, asdict(card))


def load_card(folder: Path) -> Card:
    """Read the card of a stored model."""
    path = folder / CARD
    if not path.is_file():
        inside = sorted(str(found.parent) for found in folder.glob(f"*/{CARD}"))
        hint = f"; did you mean {inside[0]}?" if inside else ""
        raise CheckpointError(f"{path} is missing; {REMEDY}{hint}")
    return Card(**json.loads(path.read_text(encoding="utf-8")))


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> tuple[Classifier, Card]:
    """Load a classifier, in eval mode. Raises CheckpointError where a tensor is missing, unknown or misshapen."""
    card = load_card(folder)
    if not NETWORKS[card.mode].is_arm:
        raise CheckpointError(f"{folder} has no classifier; use {folder.parent.parent / 'supervised' / folder.name}")
    model = Classifier(_backbone(card), len(card.classes))
    transfer_weights(model, _read(folder))
    return model.to(device).eval(), card


def load_backbone(folder: Path, device: torch.device | str = "cpu") -> tuple[ResNet, Card]:
    """Load a backbone without classifier, in eval mode; see load_classifier."""
    card = load_card(folder)
    backbone = _backbone(card)
    transfer_weights(backbone, _read(folder))
    return backbone.to(device).eval(), card


def transfer_weights(module: nn.Module, weights: Mapping[str, Tensor], fresh: Sequence[str] = ()) -> None:
    """Copy weights into a module, accounting for every tensor.

    fresh: prefixes of the module's tensors that keep their initial values. Raises CheckpointError where any other
    tensor is missing or has another shape, or where the weights hold a tensor that the module has no place for.
    """
    state = module.state_dict()
    expected = {name for name in state if not name.startswith(tuple(fresh))} if fresh else set(state)
    missing, unknown = sorted(expected - set(weights)), sorted(set(weights) - expected)
    if missing or unknown:
        raise CheckpointError(
            f"the weights do not fit the model: missing {_some(missing)}, without a place {_some(unknown)}"
            "; was params.yaml's model section edited after they were made? Run 'dvc repro'"
        )
    for name in sorted(expected):
        if state[name].shape != weights[name].shape:
            raise CheckpointError(
                f"the weights do not fit the model: {name} is {tuple(weights[name].shape)} in the file and "
                f"{tuple(state[name].shape)} in the model; run 'dvc repro'"
            )
        state[name].copy_(weights[name])


def _some(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{list(names[:3])}{more}" if names else "nothing"


def _backbone(card: Card) -> ResNet:
    return build_backbone(Model.model_validate(card.model), card.channels)


def _read(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; {REMEDY}")
    return load_file(path)
