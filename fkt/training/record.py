"""What a training run leaves: the model with its card, the learning curve, and what the run cost."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fkt.core.hardware import device_name, peak_memory_mb
from fkt.data.store import Meta, write_json
from fkt.models.backbones import ResNet
from fkt.models.flops import forward_flops
from fkt.params import Params
from fkt.training.loop import Fitted
from fkt.training.plan import Plan


@dataclass(frozen=True)
class Before:
    """What stands before a training run: the model it builds on, and what the stage did with that to get ready."""

    folder: Path | None = None
    """Of the model that the run starts from, or has its pseudo-labels from."""
    spent_passes: int = 0
    """Image passes that went into that model, and into those before it."""
    pseudo_labels: str | None = None
    """A digest of those, where the run learns pseudo-labels."""
    flops: int = 0
    """Of the stage's own preparation."""
    seconds: float = 0.0
    """Of the same."""
    warnings: Sequence[str] = ()
    """Of the same."""


def write_log(folders: Sequence[Path], rows: Sequence[dict[str, float]], cost: dict[str, Any]) -> None:
    """Write the learning curve and the cost into each of the folders."""
    for folder in folders:
        _write_rows(folder / "curve.csv", rows)
        write_json(folder / "cost.json", cost)


def cost_of(
    backbone: ResNet, meta: Meta, fitted: Fitted, plan: Plan, precision: torch.dtype, before: Before
) -> dict[str, Any]:
    """Return what a run took, its preparation included; image passes and FLOPs are those of this run's own backbones.

    Heads are left out: an MLP of 512 on a small backbone is a tenth of it, on a ResNet-18 at 32 px a thousandth.
    """
    device = next(backbone.parameters()).device
    image = torch.zeros(1, meta.channels, meta.image_size, meta.image_size, device=device)
    forward = forward_flops(backbone, image)
    per_pass = forward if plan.frozen else 3 * forward  # backward is twice forward, the usual convention
    trained = per_pass * plan.image_passes + forward * plan.target_passes_per_step * plan.steps
    return {
        "image_passes": plan.image_passes,
        "flops_per_pass": per_pass,
        "flops": trained + before.flops,
        "seconds": fitted.train_seconds + fitted.check_seconds + before.seconds,
        "images_per_second": plan.image_passes / fitted.train_seconds,
        "peak_memory_mb": peak_memory_mb(device),
        "steps": plan.steps,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
    }


def sections_of(params: Params, names: Sequence[str]) -> dict[str, Any]:
    """Return the values of some keys of params.yaml, named as a stage of stages/dvc.yaml names them in ``params``."""
    content = params.model_dump(by_alias=True, mode="json")
    found = {}
    for name in names:
        name = name.replace("${ssl.method}", params.ssl.method)
        value = content
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def _write_rows(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write a learning curve as CSV: one column a number, empty where a row has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)
