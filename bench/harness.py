"""Shared by the measurements: changed settings, noise images, training steps, backbone passes, interleaved timing."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from fkt.core.hardware import pick_device, pick_precision, set_threads, setup_torch
from fkt.core.runs import Run
from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.params import PARAMS_FILE, Params, parse_params
from fkt.params.reader import read_yaml
from fkt.training.base import Objective
from fkt.training.optim import build_optimizer
from fkt.training.session import Session
from fkt.views.loader import Loader

JITTER = [
    {"name": "HorizontalFlip", "p": 0.5},
    {"name": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
    {"name": "ToGray", "p": 0.2},
]


def crop(smallest: float) -> dict[str, Any]:
    """Return a random resized crop of at least this share of the image."""
    return {"name": "RandomResizedCrop", "scale": [smallest, 1.0], "ratio": [0.75, 1.3333], "p": 1.0}


def changed_params(changes: Mapping[str, Any]) -> Params:
    """Return params.yaml with changes such as ``{"ssl.byol.tau": 0.9}``."""
    content: Any = copy.deepcopy(read_yaml(PARAMS_FILE))
    for key, value in changes.items():
        *path, last = key.split(".")
        section = content
        for name in path:
            section = section.setdefault(name, {})
        section[last] = value
    return parse_params(content)


def noise_session(network: str, batch_size: int, changes: Mapping[str, Any]) -> Session:
    """Return a run with a full-width backbone, SGD and every label, on color images of 32 pixels that show noise.

    The time of a step does not depend on what the images show.
    """
    views = [crop(0.2), *JITTER]
    fixed = {
        "labels": {"per_class": None, "fraction": None},
        "model": {"backbone": "resnet18", "width": 64, "stem": "small", "weights": "none"},
        "augment": {"engine": "batched", "object_share": 0.0, "good_crops": 1.0, "views": views, "labelled": []},
        **{f"{section}.batch_size": batch_size for section in ("pretrain", "joint")},
        **{f"{section}.optimizer": "sgd" for section in ("pretrain", "joint")},
    }
    params = changed_params(fixed | changes)
    setup_torch()
    device = pick_device()
    generator, count = torch.Generator().manual_seed(0), max(1024, 2 * batch_size)
    images = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (count,), generator=generator)
    meta = Meta("noise", [str(k) for k in range(10)], 32, 3, {}, [0.5] * 3, [0.25] * 3)
    split = Split("train", meta, torch.arange(count), labels.to(device), images.to(device))
    known = torch.arange(count)
    run = Run("noise", network, 0)
    session = Session(params, run, device, pick_precision(device), split, split, known, known)
    set_threads(session.part_flops)
    return session


def training_step(session: Session, objective: Objective, loader: Loader) -> Callable[[], object]:
    """Return a function that does the next training step: batch, forward, backward, optimizer."""
    objective.to(session.device).train()
    optimizer = build_optimizer(objective, session.training)
    step = 0

    def run() -> None:
        nonlocal step
        batch = loader.batch(step)
        with torch.autocast(session.device.type, session.precision, enabled=session.precision != torch.float32):
            loss = objective.loss(batch)["total"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        objective.after_step(min(1.0, step / 100))

    return run


def bare_passes(session: Session, passes: Sequence[tuple[Sequence[int], bool]]) -> Callable[[], object]:
    """Return a function that does nothing except backbone passes, in the run's layout and precision.

    passes: for each, the shape of the batch and whether it has a backward pass. The loss is a sum.
    """
    device, precision = session.device, session.precision
    backbone: ResNet = session.fresh_backbone().to(device).train()
    batches = [
        (torch.randn(*shape, device=device).to(memory_format=torch.channels_last), grad) for shape, grad in passes
    ]

    def run() -> None:
        total = torch.zeros((), device=device)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            for batch, grad in batches:
                with torch.set_grad_enabled(grad):
                    output = backbone(batch).float().sum()
                total = total + output
        total.backward()
        for parameter in backbone.parameters():
            parameter.grad = None

    return run


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each function over ``rounds`` turns, after one turn that is not counted.

    The functions take turns in one process, so that a busy machine slows all of them equally.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            _synchronize()
            start = time.perf_counter()
            way()
            _synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
