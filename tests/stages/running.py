"""Runs every stage in order, in one process, on small numbers."""

import importlib
import json
from collections.abc import Callable
from typing import Any

from fkt.core.arms import NETWORKS, UNTRAINED, chain
from fkt.core.pipeline import code_digest, stage_params
from fkt.core.runs import Run
from fkt.data.meta import load_meta
from fkt.models.checkpoint import data_digest
from fkt.params import Params
from stages import cam, evaluate, prepare, report, views

Write = Callable[[dict[str, Any]], Params]

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "prepare": {"image_size": 16, "channels": 1, "val_fraction": 0.25},
    "labels": {"per_class": 2, "fraction": None},
    "lambda": 1.0,
    "budget": {"passes": 6, "checks": 2, "pretrain_share": 0.667},
    "model": {"backbone": "resnet10", "width": 16},
    "ssl": {"simclr": {"projector_hidden": 16, "projector_size": 8}},
    **{
        name: {"batch_size": 16, "learning_rate": 0.003}
        for name in ("pretrain", "finetune", "supervised", "imagenet", "joint", "frozen")
    },
    "distill": {"batch_size": 16, "teacher_width": 16, "clusters": 6, "n_init": 2},
    "evaluate": {"knn_neighbors": 5, "linear_iterations": 10},
    "cam": {"images": 2, "candidates": 8},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; what is no dictionary is replaced."""
    found = dict(base)
    for key, value in changes.items():
        found[key] = merged(base[key], value) if isinstance(value, dict) else value
    return found


def provenance(run: Run, params: Params) -> dict[str, Any]:
    """The fields of a card that say what a run was trained with: these params, the prepared data, this code."""
    settings = stage_params(run.network.stage, params.model_dump(by_alias=True, mode="json"))
    data, code = data_digest(load_meta(run.prepared)), code_digest(run.network.stage)
    return {"training": {"params": settings}, "data": data, "code": code}


def cost_of(run: Run) -> dict[str, Any]:
    """The cost that a training has recorded."""
    found: dict[str, Any] = json.loads((run.log / "cost.json").read_text())
    return found


def train_one(name: str, seed: int, params: Params) -> None:
    """Train one network as its stage does."""
    importlib.import_module(f"stages.{NETWORKS[name].section}").main(Run(params.dataset, name, seed), params)


def train(params: Params, seed: int) -> None:
    """Train the networks that the modes need, each once."""
    for network in dict.fromkeys(network for mode in params.modes for network in chain(mode)):
        train_one(network.name, seed, params)


def run_stages(params: Params) -> None:
    """What dvc.yaml runs, in its order."""
    prepare.main(params)
    views.main(params)
    for seed in params.seeds:
        train(params, seed)
    for mode in params.modes:
        evaluate.main(mode, params)
        cam.main(mode, params)
    evaluate.main(UNTRAINED, params)
    report.main(params)
