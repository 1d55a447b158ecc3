"""Runs every stage in order, in one process, on small numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fkt.core.runs import MADE_OF, PRETRAINED, STUDENT, TEACHER
from fkt.params import Params

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "prepare": {"image_size": 32, "channels": 3, "val_fraction": 0.25},
    "labels": {"per_class": 2, "fraction": None},
    "budget": {"passes": 6, "checks": 2},
    "model": {"backbone": "resnet10", "width": 16},
    "ssl": {"simclr": {"projector_hidden": 16, "projector_size": 8}},
    **{name: {"batch_size": 16} for name in ("pretrain", "finetune", "supervised", "joint", "frozen")},
    "distill": {"batch_size": 16, "teacher_width": 16, "clusters": 6, "n_init": 2},
    "evaluate": {"knn_neighbors": 5, "linear_iterations": 10},
    "cam": {"images": 2, "candidates": 8},
    "report": {"bootstrap_samples": 100},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; what is no dictionary is replaced."""
    found = dict(base)
    for key, value in changes.items():
        found[key] = merged(base[key], value) if isinstance(value, dict) else value
    return found


def trainers(params: Params, seed: int) -> dict[str, Callable[[], None]]:
    """What trains each model."""
    from stages import distill, finetune, frozen, joint, pretrain, supervised

    return {
        PRETRAINED: lambda: pretrain.main(PRETRAINED, seed, params),
        TEACHER: lambda: pretrain.main(TEACHER, seed, params),
        STUDENT: lambda: distill.main(seed, params),
        "supervised": lambda: supervised.main(seed, params),
        "frozen": lambda: frozen.main(seed, params),
        "representational": lambda: finetune.main("representational", seed, params),
        "distilled": lambda: finetune.main("distilled", seed, params),
        "functional": lambda: joint.main(seed, params),
    }


def train(params: Params, seed: int) -> None:
    """Train the models that the listed modes are made of, each once."""
    for name in dict.fromkeys(part for mode in params.modes for part in MADE_OF[mode]):
        trainers(params, seed)[name]()


def run_stages(params: Params) -> None:
    """What dvc.yaml runs, in its order."""
    from stages import cam, evaluate, prepare, report, views

    prepare.main(params)
    views.main(params)
    for seed in params.seeds:
        train(params, seed)
    for mode in params.modes:
        evaluate.main(mode, params)
        cam.main(mode, params.seeds[0], params)
    report.main(params)
