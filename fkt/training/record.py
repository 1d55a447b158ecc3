"""What a training run leaves: the model with its card, the learning curve, and the cost."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fkt.core import ranks
from fkt.core.files import replacing, write_json
from fkt.core.hardware import device_name, peak_memory_mb
from fkt.core.pipeline import code_digest
from fkt.models.checkpoint import Card, code_version, data_digest, save_model
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.training.budget import Length
from fkt.training.loop import Fitted
from fkt.training.monitor import warnings_of

if TYPE_CHECKING:
    from fkt.models.backbones import ResNet
    from fkt.training.session import Session


@dataclass(frozen=True)
class Start:
    """What a training run starts from, and what the stage computed besides the training."""

    folder: Path | None = None
    """Model that the run starts from, or that its pseudo-labels come from."""
    spent_passes: float = 0
    """What the arm has spent of the budget so far, in image passes, or FLOPs as passes if ``budget.unit`` is flops."""
    pseudo_labels: str | None = None
    """Digest of the pseudo-labels."""
    weights: str | None = None
    """Digest of the file of weights that the run starts from, if this is not a model of ours."""
    flops: int = 0
    seconds: float = 0.0
    warnings: Sequence[str] = ()


def record(
    session: Session,
    model: Classifier | ResNet,
    fitted: Fitted,
    length: Length,
    keep: str,
    start: Start,
    sizes: Mapping[str, float],
) -> None:
    """Write the model with its card, the learning curve and the cost, and print the warnings of the run.

    sizes: see Objective.sizes.
    """
    run, meta = session.run, session.meta
    warnings = [*start.warnings, *warnings_of(fitted.rows)]
    card = Card(
        mode=run.name,
        seed=run.seed,
        dataset=meta.dataset,
        classes=meta.classes,
        image_size=meta.image_size,
        channels=meta.channels,
        mean=meta.mean,
        std=meta.std,
        model=session.model.model_dump(),
        fit=meta.fit,
        training={
            "params": session.settings,
            "selection": keep,
            "kept_step": fitted.kept_step,
            "steps": length.steps,
            "image_passes": length.image_passes,
            "spent_passes": start.spent_passes + length.spent,
            "warnings": warnings,
            **({"labelled_images": len(session.labelled)} if isinstance(model, Classifier) else {}),
        },
        data=data_digest(meta),
        code=code_digest(run.network.stage),
        **code_version(),
    )
    save_model(run.model, model, card)
    cost = cost_of(session, model, fitted, length, start)
    if sizes:
        cost["ssl_sizes"] = dict(sizes)
    cost |= {"stage": run.network.stage, "kept_step": fitted.kept_step, "epochs": length.epochs}
    cost |= {"budget": length.reason, "warnings": warnings}
    write_json(run.log / "cost.json", cost)
    _write_curve(run.log / "curve.csv", fitted.rows)
    for warning in warnings:
        print(f"warning: {run.label}: {warning}", flush=True)


def cost_of(
    session: Session, model: Classifier | ResNet, fitted: Fitted, length: Length, start: Start
) -> dict[str, Any]:
    """Return what a run took, including what the stage computed besides. Image passes are those of the run alone.

    FLOPs are those of the backbone. Heads are left out: an MLP of 512 on a small backbone is a tenth of it, on a
    ResNet-18 at 32 px a thousandth.
    """
    backbone = model.backbone if isinstance(model, Classifier) else model
    meta, device = session.meta, next(backbone.parameters()).device
    forward = image_flops(backbone, meta.channels, meta.image_size)
    per_pass = forward if length.frozen else 3 * forward  # a backward pass is twice a forward pass, by convention
    trained = per_pass * length.image_passes + forward * length.target_passes_per_step * length.steps
    return {
        "image_passes": length.image_passes,
        "flops_per_pass": per_pass,
        "flops": trained + start.flops,
        "seconds": fitted.train_seconds + fitted.check_seconds + start.seconds,
        "images_per_second": length.image_passes / fitted.train_seconds,
        "peak_memory_mb": peak_memory_mb(device),
        "steps": length.steps,
        "device": device_name(device),
        "processes": ranks.size(),
        "threads": torch.get_num_threads(),
        "precision": str(session.precision).removeprefix("torch."),
    }


def _write_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write a learning curve as CSV: a column for each number, empty where a row has none."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
