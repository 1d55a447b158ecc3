"""From measured steps to minutes, memory and disk of the whole comparison. Does not import torch."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fkt.core.arms import NETWORKS, chain
from fkt.core.errors import UserError
from fkt.core.files import write_json
from fkt.core.hardware import processor
from fkt.core.pipeline import code_digest
from fkt.params import Params
from fkt.raw.counts import Counts, image_counts
from fkt.raw.datasets import DATASETS

CACHE = Path(".ckpt") / "estimate"
"""One file for each measured setting; git and DVC ignore it."""
DVC_SHARE, LIGHT_SHARE, ALONE_SHARE = 1.4, 0.45, 0.3
"""Seconds that DVC takes for a stage relative to those of 'dvc stage list': for a stage that runs in a process of its
own, for one that only leaves a note, and for one of many in a single 'dvc repro'."""
PREPARE_SECONDS = {True: 4e-3, False: 2e-5}
"""For each raw image; True: it is an image file, False: it is a row of an array."""
UNDISTURBED = 0.85
"""Share of a core from which a measurement counts as that of a free machine."""
CAM_PASSES = 4.0
"""Forward passes that take as long as one activation map."""
SPEED_ONLY = ("model", "ssl", "augment", "budget", "labels", "joint", "distill", "evaluate", "transfer")
"""Sections of params.yaml that change the time of a step, or the number of steps."""
NO_SPEED = ("learning_rate", "momentum", "trust_coefficient", "weight_decay", "warmup_fraction")
"""Settings of a training that change neither."""


@dataclass(frozen=True)
class Estimate:
    """What the comparison takes; times in seconds."""

    params: Params
    counts: Counts
    measured: dict[str, Any]
    """See fkt.estimate.timing, and ``dvc``, the seconds of 'dvc stage list'."""
    jobs: int

    def stages(self) -> dict[str, float]:
        """Return the seconds of one stage of each kind, by its name without seed or mode."""
        params, measured = self.params, self.measured
        dvc = measured["dvc"] * (DVC_SHARE if self.jobs > 1 else ALONE_SHARE)
        start = dvc + measured["start"]
        kinds = {NETWORKS[name].stage: start + run["seconds"] for name, run in measured["networks"].items()}
        scored = self.counts.total * measured["image_seconds"] + measured["probe_seconds"]
        source = self.counts.total * PREPARE_SECONDS[DATASETS[params.dataset].is_files]
        maps = params.cam.candidates * CAM_PASSES * measured["image_seconds"]
        kinds |= dict.fromkeys(("prepare", "prepare-transfer"), start + source / max(1, os.cpu_count() or 1))
        kinds |= {"plan": dvc + 0.5, "views": start + 1, "report": start + 2, "cam": start + maps}
        scores = start + len(params.seeds) * scored
        return kinds | dict.fromkeys(("evaluate", "evaluate-untrained", "evaluate-transfer"), scores)

    def is_disturbed(self) -> bool:
        """Return whether other programs took a good part of the time during the measurement."""
        return bool(self.measured["share"] < UNDISTURBED)

    def light(self) -> float:
        """Return the seconds of a stage that only leaves a note or lists files."""
        return float(self.measured["dvc"]) * LIGHT_SHARE

    def others(self) -> float:
        """Return the seconds of all stages that train nothing, one after another."""
        params, kinds = self.params, self.stages()
        names = ["plan", "prepare", "views", "evaluate-untrained", "report"]
        names += ["evaluate", "cam"] * len(params.modes)
        names += ["prepare-transfer", "evaluate-transfer"] * len(params.transfer.datasets)
        light = self.light() * ((len(NETWORKS) - len(params.trained)) * len(params.seeds) + 1)
        return light + sum(kinds[name] for name in names)

    def seconds(self) -> float:
        """Return the seconds from nothing to the report: what must come first and last, and the rest side by side."""
        kinds = self.stages()
        alone = kinds["plan"] + kinds["prepare"] + kinds["report"]
        runs = sum(kinds[NETWORKS[name].stage] for name in self.params.trained) * len(self.params.seeds)
        chains = [sum(kinds[part.stage] for part in chain(name)) for name in self.params.trained]
        return alone + max((runs + self.others() - alone) / self.jobs, max(chains) + kinds["evaluate"])

    def memory_mb(self) -> float:
        """Return the peak memory of all jobs: a training has its images in memory."""
        size = self.params.prepare.image_size**2 * self.params.prepare.channels
        return self.jobs * (float(self.measured["memory_mb"]) + self.counts.total * size / 2**20)

    def disk_mb(self) -> float:
        """Return the size of images and weights, which DVC has twice: in the workspace and in its cache."""
        images = self.counts.total * self.params.prepare.image_size**2 * self.params.prepare.channels
        weights = sum(float(run["bytes"]) for run in self.measured["networks"].values()) * len(self.params.seeds)
        return 2 * (images + weights) / 2**20


def cached(params: Params, jobs: int) -> Estimate | None:
    """Return the estimate if these settings were measured on this machine before."""
    try:
        counts = image_counts(params)
    except UserError:
        return None
    path = _path(params, counts, jobs)
    return Estimate(params, counts, json.loads(path.read_text(encoding="utf-8")), jobs) if path.is_file() else None


def measure(params: Params, environments: Sequence[Mapping[str, str]]) -> Estimate:
    """Time a few steps, in as many processes at once as there are jobs.

    Raises DatasetNotFound or CorruptData if the number of images cannot be found, UserError if a step fails.
    """
    counts, jobs = image_counts(params), len(environments)
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    dvc, _ = _side_by_side(command, environments)  # outside of a repository it fails, in about the same time
    command = [sys.executable, "-m", "fkt.estimate.timing", json.dumps(asdict(counts)), str(time.time())]
    _, ended = _side_by_side(command, environments)
    for process, _, errors in ended:
        if process.returncode:
            raise UserError(errors.strip().removeprefix("error: ") or "the timed steps were stopped")
    found = [json.loads(printed.splitlines()[-1]) for _, printed, _ in ended]
    measured = {"dvc": dvc} | _mean(found)
    write_json(_path(params, counts, jobs), measured)
    return Estimate(params, counts, measured, jobs)


def _side_by_side(
    command: Sequence[str], environments: Sequence[Mapping[str, str]]
) -> tuple[float, list[tuple[subprocess.Popen[str], str, str]]]:
    """Run a command once for each environment. Return the seconds; and each process, its output and its errors."""
    began = time.perf_counter()
    running = [
        subprocess.Popen(  # noqa: S603 - our own arguments
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for environment in environments
    ]
    try:
        ended = [(process, *process.communicate()) for process in running]
    finally:
        for process in running:
            process.kill()  # does something only after Ctrl-C
    return time.perf_counter() - began, ended


def _mean(found: Sequence[Any]) -> Any:  # noqa: ANN401 - of numbers in nested dictionaries
    """Return the mean of each number of several measurements of the same form."""
    if isinstance(found[0], dict):
        return {name: _mean([one[name] for one in found]) for name in found[0]}
    return sum(found) / len(found)


def _path(params: Params, counts: Counts, jobs: int) -> Path:
    """Return the file of what was measured: its name depends on all that changes the speed."""
    content = params.model_dump(mode="json")
    sections = dict.fromkeys([*SPEED_ONLY, *(NETWORKS[name].section for name in params.trained)])
    settings = {name: {key: value for key, value in content[name].items() if key not in NO_SPEED} for name in sections}
    parts = {
        "settings": settings,
        "networks": params.trained,
        "images": [asdict(counts), params.prepare.image_size, params.prepare.channels],
        "code": code_digest(NETWORKS["distilled"].stage) + code_digest(NETWORKS["functional"].stage),
        "torch": importlib.metadata.version("torch"),
        "machine": [platform.node(), processor(), jobs],
        "environment": {name: value for name, value in sorted(os.environ.items()) if name in _HARDWARE},
    }
    return CACHE / f"{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]}.json"


_HARDWARE = ("FKT_DEVICE", "FKT_PRECISION", "FKT_THREADS", "FKT_WORKERS", "FKT_CORES", "CUDA_VISIBLE_DEVICES")
