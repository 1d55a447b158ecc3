"""What the training stages share: opening the data of a run, fresh weights, and writing what a run leaves."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fkt.data.keys import seeded
from fkt.data.store import Meta, Split, load_meta, load_split, write_json
from fkt.hardware import device_name, peak_memory_mb, pick_device, pick_precision, setup_torch
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.checkpoint import WEIGHTS, Card, save_model
from fkt.models.classifier import Classifier
from fkt.models.flops import forward_flops
from fkt.params import Params, Training, Transform
from fkt.runs import Run
from fkt.training.budget import check_against_data, labelled_index
from fkt.training.loop import Fitted, fit
from fkt.training.monitor import validation, warnings_of
from fkt.training.objectives import Objective, SupervisedLoss
from fkt.training.plan import Plan
from fkt.training.resume import Resume, file_digest, fingerprint
from fkt.views.loader import Loader
from fkt.views.pipeline import Pipeline, build_pipeline


@dataclass(frozen=True)
class Session:
    """One training run's surroundings."""

    params: Params
    run: Run
    device: torch.device
    precision: torch.dtype
    train: Split
    val: Split
    labelled: Tensor
    """(M,) int64: positions in ``train`` of the images whose labels the run may see."""

    @property
    def meta(self) -> Meta:
        """Of the prepared dataset."""
        return self.train.meta

    @property
    def keep(self) -> Literal["validation", "last"]:
        """Which step's weights are kept; see Params.selection."""
        if self.params.selection == "auto":
            return "last" if len(self.labelled) < len(self.val) else "validation"
        return self.params.selection

    def fresh_backbone(self) -> ResNet:
        """Return a new backbone: the same weights in every arm of this seed."""
        with seeded(self.run.seed, "backbone"):
            backbone = build_backbone(self.params.model, self.meta.channels)
        if self.params.model.weights == "imagenet":
            from fkt.training.imagenet import load_imagenet

            load_imagenet(backbone, self.params.model.backbone)
        return backbone

    def fresh_classifier(self, backbone: ResNet) -> Classifier:
        """Return a classifier with a new head: the same weights in every arm of this seed."""
        with seeded(self.run.seed, "head"):
            return Classifier(backbone, self.meta.num_classes)

    def supervised_loss(self) -> SupervisedLoss:
        """Return the cross-entropy that every arm shares."""
        labels = self.train.labels[self.labelled].cpu()
        return SupervisedLoss(self.params.cross_entropy, labels, self.meta.num_classes)

    def pipeline(self, steps: Sequence[Transform]) -> Pipeline:
        """Return a view pipeline of params.yaml's augment section."""
        return build_pipeline(steps, self.params.augment.engine, self.meta)

    def labelled_loader(self, batch_size: int) -> Loader:
        """Return batches of labelled images alone."""
        labelled = self.pipeline(self.params.augment.labelled)
        return Loader(
            self.train,
            self.labelled,
            num_views=0,
            views=labelled,
            images=labelled,
            batch_size=batch_size,
            seed=self.run.seed,
            device=self.device,
        )

    def train_model(
        self, objective: Objective, loader: Loader, plan: Plan, sections: Sequence[str], start: Path | None = None
    ) -> None:
        """Fit an objective and write what it leaves.

        sections: the sections of params.yaml that this run depends on, the last one the stage's own. start: the
        folder of the model that the run starts from, if any.
        """
        training = getattr(self.params, self.run.stage)
        assert isinstance(training, Training)
        objective.to(self.device)
        model, validate, keep = objective.model, None, self.keep
        if isinstance(model, Classifier):
            validate = validation(model, self.val, training.batch_size, self.precision)
        else:
            keep = "last"
        key = fingerprint(
            params=_sections(self.params, sections),
            plan=asdict(plan),
            data=self.meta.checksums,
            start=file_digest(start / WEIGHTS) if start is not None else None,
            precision=str(self.precision),
            device=str(self.device),
        )
        fitted = fit(
            objective,
            loader,
            plan,
            training,
            precision=self.precision,
            validate=validate,
            keep=keep,
            resume=Resume(self.run.checkpoint(key)),
            label=f"{self.run.stage} s{self.run.seed}",
        )
        self._finish(model, fitted, plan, sections, keep, plan.steps / loader.steps_per_epoch)

    def _finish(
        self, model: Classifier | ResNet, fitted: Fitted, plan: Plan, sections: Sequence[str], keep: str, epochs: float
    ) -> None:
        """Write the model with its card, the learning curve and the cost, and say what went wrong if anything did."""
        backbone = model.backbone if isinstance(model, Classifier) else model
        found = warnings_of(fitted.rows)
        card = Card(
            mode=self.run.mode,
            seed=self.run.seed,
            dataset=self.meta.dataset,
            classes=self.meta.classes,
            image_size=self.meta.image_size,
            channels=self.meta.channels,
            mean=self.meta.mean,
            std=self.meta.std,
            model=self.params.model.model_dump(),
            training={
                "params": _sections(self.params, sections),
                "selection": keep,
                "kept_step": fitted.kept_step,
                "steps": plan.steps,
                "image_passes": plan.image_passes,
                "warnings": found,
                **({"labelled_images": len(self.labelled)} if isinstance(model, Classifier) else {}),
            },
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        save_model(self.run.model, model, card)
        _write_rows(self.run.log / "curve.csv", fitted.rows)
        write_json(self.run.log / "cost.json", self._cost(backbone, fitted, plan, found) | {"epochs": epochs})
        for warning in found:
            print(f"warning: {self.run.stage} s{self.run.seed}: {warning}", flush=True)

    def _cost(self, backbone: ResNet, fitted: Fitted, plan: Plan, found: list[str]) -> dict[str, Any]:
        image = torch.zeros(1, self.meta.channels, self.meta.image_size, self.meta.image_size, device=self.device)
        forward = forward_flops(backbone, image)
        per_pass = 3 * forward  # forward, and backward as twice that, the usual convention
        return {
            "image_passes": plan.image_passes,
            "flops_per_pass": per_pass,
            "flops": per_pass * plan.image_passes + forward * plan.target_passes_per_step * plan.steps,
            "seconds": fitted.train_seconds + fitted.check_seconds,
            "images_per_second": plan.image_passes / fitted.train_seconds,
            "peak_memory_mb": peak_memory_mb(self.device),
            "stage": self.run.stage,
            "steps": plan.steps,
            "kept_step": fitted.kept_step,
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "precision": str(self.precision).removeprefix("torch."),
            "warnings": found,
        }


def open_session(params: Params, mode: str, seed: int) -> Session:
    """Open the data of a run. Raises ParamsError where params.yaml does not fit the data, before anything trains."""
    run = Run(params.dataset, mode, seed)
    check_against_data(params, load_meta(run.prepared))
    setup_torch()
    device = pick_device()
    train, val = load_split(run.prepared, "train", device), load_split(run.prepared, "val", device)
    labelled = labelled_index(train.labels, params.labels, seed)
    return Session(params, run, device, pick_precision(device), train, val, labelled)


def _sections(params: Params, sections: Sequence[str]) -> dict[str, Any]:
    content = params.model_dump(by_alias=True, mode="json")
    return {name: content[name] for name in sections}


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
