"""Files of images get the probabilities that evaluate has stored for the same images, to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fkt import load
from fkt.core.runs import Run, prepared_path
from fkt.data.meta import load_meta, load_names
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import Params
from fkt.raw.datasets import source_folder
from stages import evaluate
from tests import fakes, fakes_torchvision
from tests.stages.running import Write, provenance


def write_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.write_folder(root)
    for label, name in enumerate(("bar", "disc", "ring")):
        fakes.write_odd_files(root / name, label)  # 16 bits, CMYK, palette, transparent, rotated by EXIF


WRITE: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "digits": lambda root, monkeypatch: None,
    "cifar10": fakes_torchvision.write_cifar10,
    "folder": write_folder,
    "intel": lambda root, monkeypatch: fakes.write_intel(root),
    "aptos": lambda root, monkeypatch: fakes.write_aptos(root),
}


def store_models(params: Params) -> None:
    """Write models with random weights, large enough for different predictions."""
    meta = load_meta(prepared_path(params.dataset))
    shared = {name: getattr(meta, name) for name in ("classes", "image_size", "channels", "mean", "std", "fit")}
    for seed in params.seeds:
        torch.manual_seed(seed)
        model = Classifier(build_backbone(params.model, meta.channels), meta.num_classes)
        torch.nn.init.normal_(model.head.weight)
        model(torch.randn(32, meta.channels, meta.image_size, meta.image_size))  # running statistics
        run = Run(params.dataset, "functional", seed)
        fields = {**shared, **provenance(run, params)}
        card = Card(mode="functional", seed=seed, dataset=params.dataset, model=params.model.model_dump(), **fields)
        save_model(run.model, model, card)


def files_of(dataset: str, rows: list[int]) -> list[Path]:
    """Return files of prepared images: the raw ones, or pictures of the raw arrays."""
    names, raw, found = load_names(prepared_path(dataset)), fakes.read(dataset, None), []
    positions = {name: position for position, name in enumerate(raw.names)}
    for row in rows:
        path = source_folder(dataset, None) / names[row]
        if not path.is_file():
            path = Path("pictures") / f"{row}.png"
            fakes.save(path, raw.load(positions[names[row]], 3))
        found.append(path)
    return found


@pytest.mark.parametrize(
    ("dataset", "changes"),
    [
        ("digits", {"channels": 1}),
        ("cifar10", {"channels": 3}),
        ("cifar10", {"channels": 1, "image_size": 32}),
        ("folder", {"channels": 1, "fit": "stretch"}),
        *(("folder", {"channels": 3, "fit": fit}) for fit in ("crop", "pad")),
        ("intel", {"channels": 3}),
        ("aptos", {"channels": 3, "fit": "crop"}),
    ],
)
def test_files_get_the_stored_probabilities(
    dataset: str, changes: dict[str, Any], prepared: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITE[dataset](Path("data/raw") / dataset, monkeypatch)
    limit = 20 if dataset == "digits" else None
    params = prepared({"dataset": dataset, "prepare": {"limit_per_class": limit, **changes}})
    store_models(params)
    evaluate.main("functional", params)
    every = []
    for seed in params.seeds:
        run = Run(dataset, "functional", seed)
        with np.load(run.predictions, allow_pickle=False) as stored:
            every.append(stored["probabilities"])
            files = files_of(dataset, stored["ids"].tolist())
        found = load(run.model).predict(files, batch_size=params.evaluate.batch_size)
        assert np.array_equal(found.probabilities, every[-1])
        assert found.paths == files and not found.unreadable
    assert every[0].std(axis=0).max() > 0.02, "the images must get different probabilities"
    together = load("models/functional").predict(files, batch_size=params.evaluate.batch_size)
    assert np.array_equal(together.probabilities, np.mean(every, axis=0, dtype=np.float64).astype(np.float32))
