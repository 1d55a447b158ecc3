"""A trained model as ONNX and as a program of torch.export, both checked against torch.

Normalization and softmax are inside. Decoding and resizing are not: neither format can repeat them to the bit.
"""

import copy
import json
import shutil
import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fkt.core.errors import UserError
from fkt.core.files import replacing, write_text
from fkt.data.keys import keyed_generator
from fkt.evaluation.trained import TrainedModel, model_folders
from fkt.models.checkpoint import CARD, WEIGHTS
from fkt.publish.model_card import model_card
from fkt.raw.source import Pixels

ONNX, PROGRAM = "model.onnx", "model.pt2"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
NUM_CHECKED = 5
"""Random images that the files are checked with: another number than the one that is traced."""
TOLERANCE = 1e-4
"""Largest difference from torch, relative to the largest logit."""


class Deployed(nn.Module):
    """The classifiers of all seeds, from pixels to probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.members = nn.ModuleList(copy.deepcopy(model.members))
        for name in ("mean", "std"):
            values = torch.tensor(getattr(model.card, name), dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values)
        self.to(memory_format=torch.contiguous_format)  # which torch.export saves without a copy

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, S, S, C) uint8 -> logits (N, seeds, K), and probabilities (N, K), their mean over seeds."""
        scaled = (images.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
        logits = torch.stack([member(scaled) for member in self.members], dim=1)
        return logits, logits.softmax(dim=2).mean(dim=1)


def export(model: TrainedModel, folder: Path, license_name: str) -> dict[str, float]:
    """Write the model in all formats and its card. Return for each file the largest difference of a logit from torch's.

    model: on the CPU. The folder can be loaded by fkt.load as well. Raises UserError if a package is missing, or if a
    file gives other logits than torch.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"fkt export needs {', '.join(missing)}; run 'pip install {' '.join(PACKAGES)}'")
    card = model.card
    deployed, shape = Deployed(model).eval(), (card.image_size, card.image_size, card.channels)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        batch = {0: torch.export.Dim("batch", min=1)}
        program = torch.export.export(deployed, (torch.zeros(2, *shape, dtype=torch.uint8),), dynamic_shapes=(batch,))
        outputs = ["logits", "probabilities"]
        onnx = torch.onnx.export(program, input_names=["images"], output_names=outputs, dynamo=True, verbose=False)
    assert onnx is not None
    onnx.model.metadata_props["classes"] = json.dumps(card.classes)
    with replacing(folder / ONNX) as partial:
        onnx.save(partial)
    content = BytesIO()
    torch.export.save(program, content, extra_files={"classes.json": json.dumps(card.classes)})
    with replacing(folder / PROGRAM) as partial:
        partial.write_bytes(content.getvalue())

    size = (NUM_CHECKED, *shape)
    images = torch.randint(256, size, generator=keyed_generator("export"), dtype=torch.uint8)
    with torch.no_grad():
        expected = deployed(images)[0].numpy()
    found = {ONNX: onnx_logits(folder / ONNX, images.numpy()), PROGRAM: program_logits(folder / PROGRAM, images)}
    differences = {name: float(np.abs(logits - expected).max()) for name, logits in found.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise UserError(f"{folder / name} gives logits that differ from torch's by {difference:.2g}; do not use it")

    sources = model_folders(model.folder)
    for source in sources:
        target = folder / source.name if len(sources) > 1 else folder
        for name in (WEIGHTS, CARD):
            with replacing(target / name) as partial:
                shutil.copyfile(source / name, partial)
    write_text(folder / "README.md", model_card(model, differences, license_name))
    return differences


def onnx_logits(path: Path, images: Pixels) -> np.ndarray:
    """Return the logits (N, seeds, K) that ONNX Runtime computes for images (N, S, S, C)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits: np.ndarray = session.run(["logits"], {"images": images})[0]
    return logits


def program_logits(path: Path, images: Tensor) -> np.ndarray:
    """Return the logits (N, seeds, K) that a program of torch.export computes for images (N, S, S, C)."""
    with torch.no_grad():
        logits: np.ndarray = torch.export.load(path).module()(images)[0].numpy()
    return logits
