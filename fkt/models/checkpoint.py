"""Models on disk: the weights as safetensors, and a JSON card that describes them. Nothing is unpickled."""

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from fkt import __version__
from fkt.core.arms import NETWORKS
from fkt.core.errors import CheckpointError
from fkt.core.files import file_digest, replacing, write_json
from fkt.core.pipeline import ROOT, code_digest, stage_params
from fkt.core.runs import Run
from fkt.core.seals import with_digest, without_digest
from fkt.data.meta import Meta, load_meta
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import Fit, Model, Params

WEIGHTS = "weights.safetensors"
CARD = "card.json"
REMEDY = "run 'dvc repro' to train the model, or 'dvc checkout -d dvc.yaml' to restore it"


@dataclass(frozen=True)
class Card:
    """Everything that the use of a stored model needs, except the weights."""

    mode: str
    """Name of the network, a key of NETWORKS."""
    seed: int
    dataset: str
    classes: list[str]
    """Class names. A prediction is a position in this list."""
    image_size: int
    channels: int
    mean: list[float]
    """One number for each channel, subtracted from pixels in [0, 1]."""
    std: list[float]
    """Divides the result."""
    model: dict[str, Any]
    """The model section of params.yaml."""
    fit: str = "crop"
    """How an image becomes a square: prepare.fit. Cards without this field are of models of center crops."""
    training: dict[str, Any] = field(default_factory=dict)
    """The parameters of the training, and which step's weights were kept."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of fkt, Python and torch."""
    revision: str | None = None
    """Git commit of the code, if the code is in a git repository."""
    weights: str | None = None
    """sha256 of the file of the weights; ``save_model`` sets it. None in cards of earlier versions."""
    data: str | None = None
    """Digest of the prepared data of the training; see ``data_digest``."""
    code: str | None = None
    """Digest of the source files that the training depends on."""


def code_version() -> dict[str, Any]:
    """Return the fields ``versions`` and ``revision`` of a new card.

    The revision is HEAD. It does not say whether files have changed since: DVC edits files during a run.
    """
    versions = {"fkt": __version__, "python": platform.python_version(), "torch": torch.__version__}
    try:
        command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own arguments
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or no commit
        return {"versions": versions, "revision": None}
    return {"versions": versions, "revision": found.stdout.strip()}


def data_digest(meta: Meta) -> str:
    """Return a digest of all files of a prepared folder, from their checksums in meta.json."""
    return hashlib.sha256(json.dumps(meta.checksums, sort_keys=True).encode()).hexdigest()


def save_model(folder: Path, module: nn.Module, card: Card) -> None:
    """Write the weights and the card."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    content = save(tensors)
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(content)  # save_file lets no other user read the file, whatever the umask
    write_json(folder / CARD, with_digest(asdict(replace(card, weights=hashlib.sha256(content).hexdigest()))))


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Classifier | ResNet, Card]:
    """Load a stored model in eval mode: a classifier if it is an arm's, otherwise a backbone.

    Raises CheckpointError if a file is missing or cannot be read, if the weights are not those of the card, or if the
    folder has the name of another run.
    """
    for path in (folder / CARD, folder / WEIGHTS):
        if not path.is_file():
            inside = sorted(folder.glob(f"*/{path.name}"))
            raise CheckpointError(f"{path} is missing; {f'did you mean {inside[0].parent}?' if inside else REMEDY}")
    try:
        card = Card(**without_digest(json.loads((folder / CARD).read_text(encoding="utf-8"))))
        if card.fit not in get_args(Fit):
            raise ValueError(f"fit: {card.fit}")
        backbone = build_backbone(Model.model_validate(card.model), card.channels)
        model = Classifier(backbone, len(card.classes)) if NETWORKS[card.mode].is_arm else backbone
        model.load_state_dict(load_file(folder / WEIGHTS))  # strict: every tensor must be there, and no other
    except (AttributeError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        reason = shorten(str(error), 300)
        raise CheckpointError(f"{folder} is damaged or was written by another version: {reason}; {REMEDY}") from error
    if card.weights not in (None, file_digest(folder / WEIGHTS)):
        raise CheckpointError(f"{folder / WEIGHTS} is not the file that {CARD} describes; {REMEDY}")
    place = folder.resolve()
    if place.parent.name in NETWORKS and (place.parent.name, place.name) != (card.mode, f"s{card.seed}"):
        raise CheckpointError(f"{folder} has the model of {card.mode}, seed {card.seed}; {REMEDY}")
    return model.to(device).eval(), card


def load_backbone(folder: Path, device: torch.device | str = "cpu") -> tuple[ResNet, Card]:
    """Load a stored backbone; see ``load_model``."""
    model, card = load_model(folder, device)
    assert isinstance(model, ResNet), f"{folder} has a classifier"
    return model, card


def check_card(card: Card, run: Run, params: Params) -> None:
    """Raise CheckpointError if a run's model was trained with other parameters or data than now. Print a note for code.

    DVC trains again after any of these changes. Other code may give the same model ('dvc commit' says so to DVC).
    """
    settings = stage_params(run.network.stage, params.model_dump(by_alias=True, mode="json"))
    now = {**settings, "data": data_digest(load_meta(run.prepared))}
    then = {**card.training.get("params", {}), "data": card.data}
    again = f"run 'dvc repro --force --single-item {run.network.stage}@{run.seed}' to train it again, then 'dvc repro'"
    for name in {**then, **now}:
        if then.get(name) != now.get(name):
            values = (shorten(json.dumps(value), 80) for value in (then.get(name), now.get(name)))
            raise CheckpointError(f"{run.model}: {name} was {' in its training, and now is '.join(values)}; {again}")
    if card.code != code_digest(run.network.stage):
        print(f"note: {run.model} was trained by other code than the current code; {again}", flush=True)
