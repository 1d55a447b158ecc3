"""Time a few steps of each training on random images: ``python -m fkt.estimate.timing COUNTS BEGAN``.

COUNTS: the numbers of images, as JSON. BEGAN: when the process was started, in seconds since 1970: the imports and the
first batch take as long as in a stage. Prints the measured numbers as JSON. Writes no file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fkt.build import joint_training, pretraining
from fkt.core.arms import chain
from fkt.core.errors import reported
from fkt.core.hardware import peak_memory_mb, pick_device, pick_precision, set_threads, setup_torch
from fkt.core.runs import Run
from fkt.data.meta import Meta, SplitName
from fkt.data.store import Split
from fkt.evaluation.predict import features
from fkt.evaluation.probes import effective_neighbors, knn_predict, linear_fits
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.params import Params, load_params
from fkt.raw.counts import Counts
from fkt.training.base import Objective
from fkt.training.budget import Length, distill_length, labelling_cost
from fkt.training.labels import check_against_data, labelled_index, ssl_labelled_index
from fkt.training.loaders import labelled_loader, views_loader
from fkt.training.loop import take_step
from fkt.training.monitor import validation
from fkt.training.objectives import Distill, Frozen, Supervised
from fkt.training.optim import build_optimizer
from fkt.training.resume import State
from fkt.training.session import Session
from fkt.views.loader import Loader, num_workers

POOL = 256
"""Number of different random images."""
SECONDS, LEAST_STEPS, MOST_STEPS = 1.5, 3, 200
"""A training is timed for so long, but at least and at most for so many steps."""
MOST_FLOPS = 5e10
"""Larger batches are timed with fewer images on a CPU, where the time follows the number of images. FLOPs of the
forward pass of one batch."""
PROBED, ITERATIONS = 4096, 20
"""Largest number of images that the probes are timed with, and iterations of the linear probe."""


class Noise(Split):
    """Random images in place of those of a split: the time of a step does not depend on what they show."""

    def images(self, index: Tensor) -> Tensor:
        """See Split.images."""
        return super().images(index % POOL)


def measure(params: Params, counts: Counts, began: float) -> dict[str, Any]:
    """Return the measured numbers; see Measured. Raises ParamsError where params.yaml does not fit the images."""
    setup_torch()
    device, networks = pick_device(), {}
    spent: dict[str, float] = {}
    meta = _meta(params, counts)
    check_against_data(params, meta)
    start, growth = 0.0, 0.0
    base = peak_memory_mb(torch.device("cpu"))
    timed: dict[object, tuple[tuple[float, float, float], float]] = {}
    for name in params.trained:
        real = noise_session(params, name, meta, counts, device)
        set_threads(real.part_flops)
        share = min(1.0, MOST_FLOPS / real.part_flops) if device.type == "cpu" else 1.0
        batch = max(min(8, real.training.part_size), round(real.training.part_size * share))
        small = real.training.model_copy(update={"batch_size": batch, "accumulate_steps": 1})
        session = noise_session(params.model_copy(update={real.run.network.section: small}), name, meta, counts, device)
        before = spent.get(chain(name)[-2].name, 0.0) if len(chain(name)) > 1 else 0.0
        if real.run.network.section == "distill":
            before += labelling_cost(params.budget, sum(counts.train), real.relative_flops(params.teacher))
        objective, loader, length = _built(session, before)
        spent[name] = before + length.spent
        start = start or time.time() - began
        # Cross-entropy alone takes the same time from any weights.
        kind = (type(objective), session.model, batch, small.optimizer, session.run.network.section == "distill")
        if kind not in timed:
            timed[kind] = _seconds(session, objective, loader), _check_seconds(session, objective)
        (warm, step, _), check = timed[kind]
        grown = peak_memory_mb(torch.device("cpu")) - base
        growth = max(growth, grown * real.training.part_size / batch)
        steps = max(1, round(length.steps * batch / real.training.batch_size))
        networks[name] = {
            "steps": steps,
            "images": steps * round(length.passes_per_step * real.training.batch_size / batch),
            "seconds": warm + step * length.steps + check * params.budget.checks,
            "bytes": 4 * sum(weight.numel() for weight in objective.model.parameters()),
        }
    return {
        "networks": networks,
        "start": start,
        "share": sum(found[0][2] for found in timed.values()) / len(timed),
        "memory_mb": base + growth,
        "gpu_memory_mb": peak_memory_mb(device) if device.type == "cuda" else 0.0,
        **_evaluation(params, meta, counts, device),
    }


def noise_session(params: Params, name: str, meta: Meta, counts: Counts, device: torch.device) -> Session:
    """Return a run on random images. The masks and the weights that it would read change no time."""
    params = params.model_copy(
        update={
            "augment": params.augment.model_copy(update={"object_share": 0.0}),
            "model": params.model.model_copy(update={"weights": "none"}),
        }
    )
    labels = torch.repeat_interleave(torch.arange(len(counts.train)), torch.tensor(counts.train))
    train = _split("train", meta, labels, device)
    val = _split("val", meta, labels[torch.arange(counts.val) % len(labels)], device)
    return Session(
        params,
        Run(params.dataset, name, params.seeds[0]),
        device,
        pick_precision(device),
        train,
        val,
        labelled_index(labels, params.labels, params.seeds[0]),
        ssl_labelled_index(labels, params.ssl.label_fraction, params.seeds[0]),
    )


def _meta(params: Params, counts: Counts) -> Meta:
    channels, size = params.prepare.channels, params.prepare.image_size
    classes = [str(label) for label in range(len(counts.train))]
    return Meta(params.dataset, classes, size, channels, {"train": counts.train}, [0.5] * channels, [0.25] * channels)


def _split(name: SplitName, meta: Meta, labels: Tensor, device: torch.device) -> Noise:
    shape = POOL, meta.image_size, meta.image_size, meta.channels
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Noise(name, meta, torch.arange(len(labels)), labels.to(device), images.to(device))


def _built(session: Session, spent: float) -> tuple[Objective, Loader, Length]:
    """Return what a stage trains; see the files in stages/. spent: of the budget, by the runs before it."""
    params, images = session.params, len(session.train_split)
    match session.run.network.section:
        case "pretrain":
            return pretraining(session)
        case "joint":
            return joint_training(session)
        case "distill":
            length = distill_length(params.distill, params.budget, num_images=images, spent_passes=spent)
            classifier = Classifier(session.fresh_backbone(), params.distill.clusters)
            clusters = torch.arange(images) % params.distill.clusters
            return Distill(classifier, clusters), views_loader(session, 1), length
        case section:
            length = session.labelled_length(spent_passes=spent, frozen=section == "frozen")
            parts = session.fresh_classifier(), session.cross_entropy()
            objective = Frozen(*parts, session.fresh_backbone()) if section == "frozen" else Supervised(*parts)
            return objective, labelled_loader(session, length.passes_per_step), length


def _seconds(session: Session, objective: Objective, loader: Loader) -> tuple[float, float, float]:
    """Return how much longer the first step takes than the others, the mean seconds of these, and the share of a core.

    The share is 1 where no other program takes time from this process; also where that is not known.
    """
    objective.to(session.device).train()
    optimizer, state = build_optimizer(objective, session.training), State()
    began = stepped = time.perf_counter()
    first = worked = 0.0
    batches = loader.steps(0, MOST_STEPS + 1)
    while state.step <= MOST_STEPS:
        objective.before_step(state.step, 10**9)
        take_step(objective, optimizer, batches, 1, 1e-4, session.precision, state)
        objective.after_step(state.step / 10**9)
        if state.step == 1:
            _synchronize()
            first, stepped, worked = time.perf_counter() - began, time.perf_counter(), time.thread_time()
        elif state.step > LEAST_STEPS and time.perf_counter() - stepped > SECONDS:
            break
    _synchronize()
    seconds = time.perf_counter() - stepped
    waits = session.device.type != "cpu" or (loader.on_host and num_workers() > 0)  # for the GPU or other processes
    share = 1.0 if waits else min(1.0, (time.thread_time() - worked) / seconds)
    step = seconds / (state.step - 1)
    return max(0.0, first - step), step, share


def _check_seconds(session: Session, objective: Objective) -> float:
    """Return the seconds of one validation, from a part of the images."""
    if not isinstance(objective.model, Classifier):
        return 0.0
    split, count = session.val_split, min(len(session.val_split), 4 * session.training.batch_size, POOL)
    part = _split("val", split.meta, split.labels[:count], session.device)
    validate = validation(objective.model, part, session.training.batch_size, session.precision)
    return _timed(validate) * len(split) / count


def _evaluation(params: Params, meta: Meta, counts: Counts, device: torch.device) -> dict[str, float]:
    """Return the seconds of the features of one image, and of the probes of one seed."""
    session = noise_session(params, params.trained[-1], meta, counts, device)
    backbone, settings = session.fresh_backbone().to(device), params.evaluate
    flops = image_flops(backbone, meta.channels, meta.image_size)
    set_threads(flops * settings.batch_size)
    count = int(max(8, min(2 * settings.batch_size, POOL, MOST_FLOPS / flops)))
    labels = session.train_split.labels
    split = _split("test", meta, labels[:count], device)
    seconds = _timed(lambda: features(backbone, split, settings.batch_size, mean=meta.mean, std=meta.std))
    return {"image_seconds": seconds / count, "probe_seconds": _probe_seconds(backbone, labels, counts, params)}


def _probe_seconds(backbone: ResNet, labels: Tensor, counts: Counts, params: Params) -> float:
    """Return the seconds of both probes of one seed, from a part of the images."""
    settings, classes = params.evaluate, len(counts.train)
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:PROBED]]
    generator = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, backbone.feature_size, generator=generator).to(labels.device)
                     for n in (len(labels), min(counts.test, PROBED)))  # fmt: skip
    neighbors = effective_neighbors(labels, settings.knn_neighbors)
    knn = _timed(lambda: knn_predict(bank, labels, queries, neighbors, settings.knn_temperature, classes))
    iterations = min(ITERATIONS, settings.linear_iterations)
    linear = _timed(lambda: linear_fits(bank, labels, settings.linear_l2[:1], iterations, classes))
    rounds = settings.linear_iterations / iterations * len(settings.linear_l2)
    larger = sum(counts.train) / len(labels)
    return larger * (knn * counts.test / max(1, len(queries)) + linear * rounds)


def _timed(function: Callable[[], object]) -> float:
    """Return the seconds of a second call."""
    function()
    _synchronize()
    began = time.perf_counter()
    function()
    _synchronize()
    return time.perf_counter() - began


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    with reported():
        print(json.dumps(measure(load_params(), Counts(**json.loads(sys.argv[1])), float(sys.argv[2]))))
