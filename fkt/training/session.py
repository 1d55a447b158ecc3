"""What the training stages share: opening the data of a run, fresh weights, and writing what a run leaves."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from fkt.core.errors import reported
from fkt.core.hardware import pick_device, pick_precision, setup_torch
from fkt.core.runs import TEACHER, Run
from fkt.data.keys import seeded
from fkt.data.store import Meta, Split, load_meta, load_split
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.checkpoint import WEIGHTS, Card, load_backbone, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model, Params, Training, Transform, load_params
from fkt.training.base import Objective, SupervisedLoss
from fkt.training.budget import check_against_data, labelled_index, ssl_labelled_index
from fkt.training.loop import Fitted, fit
from fkt.training.monitor import validation, warnings_of
from fkt.training.objectives import Frozen, Representational
from fkt.training.plan import Plan, plan_supervised
from fkt.training.record import Before, cost_of, sections_of, write_log
from fkt.training.resume import Resume, file_digest, fingerprint
from fkt.views.good_crops import judged_index
from fkt.views.loader import Loader
from fkt.views.pipeline import Pipeline, build_pipeline

ON_LABELS = (
    "dataset",
    "selection",
    "labels",
    "budget.passes",
    "budget.checks",
    "augment.engine",
    "augment.labelled",
    "model",
    "cross_entropy",
)
"""What a run on labelled images alone depends on in params.yaml, beside the section of its own training."""
VIEWS = ("augment.engine", "augment.object_share", "augment.good_crops", "augment.views")
"""What SSL views depend on there."""
METHOD = ("ssl.method", "ssl.label_fraction", "ssl.rotation_weight", "ssl.rotation_hidden", "ssl.${ssl.method}")
"""What an SSL method depends on there."""
WITH_VIEWS = ("pretrain", "distill", "joint")
"""The stages whose batches hold SSL views."""


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
    ssl_labelled: Tensor
    """(L,) int64: the ones among them whose labels an SSL method may see."""
    model: Model
    """The backbone of this run."""

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
        """Return a new backbone: the same weights in every arm of this seed, but for the teacher's own."""
        # A student that starts where its teacher did could learn that start instead of the clusters.
        with seeded(self.run.seed, TEACHER if self.run.mode == TEACHER else "backbone"):
            backbone = build_backbone(self.model, self.meta.channels)
        if self.model.weights == "imagenet":
            from fkt.training.imagenet import load_imagenet

            load_imagenet(backbone, self.model.backbone)
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

    def views_pipeline(self) -> Pipeline:
        """Return the pipeline of the SSL views, the one whose crops may be judged."""
        augment = self.params.augment
        return build_pipeline(augment.views, augment.engine, self.meta, object_share=augment.object_share)

    @property
    def judged(self) -> Tensor | None:
        """(M,) int64 positions in ``train`` of the images whose crops are judged, the same in every arm; or None."""
        augment = self.params.augment
        return judged_index(len(self.train), augment.good_crops, self.run.seed) if augment.object_share else None

    def labelled_loader(self, batch_size: int) -> Loader:
        """Return batches of labelled images alone."""
        labelled = self.pipeline(self.params.augment.labelled)
        return Loader(
            self.train,
            self.labelled,
            ssl_labelled=self.labelled[:0],
            num_views=0,
            views=labelled,
            images=labelled,
            batch_size=batch_size,
            seed=self.run.seed,
            device=self.device,
        )

    def views_loader(
        self,
        num_views: int,
        batch_size: int,
        *,
        ssl_labelled: Tensor | None = None,
        labelled: Tensor | None = None,
        images: Pipeline | None = None,
    ) -> Loader:
        """Return batches of SSL views of all training images.

        ssl_labelled: positions of those whose labels go along with the views; labelled, images: which labelled images
        are to stand beside the views, and through which pipeline, or labels alone where it is None. None is none.
        """
        none = self.labelled[:0]
        return Loader(
            self.train,
            none if labelled is None else labelled,
            ssl_labelled=none if ssl_labelled is None else ssl_labelled,
            num_views=num_views,
            views=self.views_pipeline(),
            images=images,
            batch_size=batch_size,
            seed=self.run.seed,
            device=self.device,
            judged=self.judged,
        )

    def train_from_start(self, kind: type[Representational], sections: Sequence[str]) -> None:
        """Train on the labelled images from the backbone that this run starts from, with the passes that it left.

        sections: see train_model.
        """
        pretrained, card = load_backbone(self.run.start)
        before = Before(self.run.start, card.training["spent_passes"])
        plan = self.plan_on_labels(self.run.section, before.spent_passes, frozen=kind is Frozen)
        loader = self.labelled_loader(plan.passes_per_step)
        classifier = self.fresh_classifier(self.fresh_backbone())
        self.train_model(kind(classifier, self.supervised_loss(), pretrained), loader, plan, sections, before)

    def plan_on_labels(self, section: str, spent_passes: int = 0, *, frozen: bool = False) -> Plan:
        """Plan a run on the labelled images as a section of params.yaml says; see plan_supervised."""
        return plan_supervised(
            getattr(self.params, section),
            self.params.budget,
            section=section,
            num_images=len(self.train),
            num_labelled=len(self.labelled),
            spent_passes=spent_passes,
            frozen=frozen,
        )

    def train_model(
        self, objective: Objective, loader: Loader, plan: Plan, sections: Sequence[str], before: Before | None = None
    ) -> None:
        """Fit an objective and write what it leaves.

        sections: what this run depends on in params.yaml, the section of its own training last.
        """
        before = before or Before()
        training = getattr(self.params, self.run.section)
        assert isinstance(training, Training)
        objective.to(self.device)
        model, validate, keep = objective.model, None, self.keep
        if isinstance(model, Classifier):
            validate = validation(model, self.val, training.batch_size, self.precision)
        else:
            keep = "last"
        key = fingerprint(
            params=sections_of(self.params, sections),
            plan=asdict(plan),
            data=self.meta.checksums,
            start=file_digest(before.folder / WEIGHTS) if before.folder is not None else None,
            pseudo_labels=before.pseudo_labels,  # made anew when a run goes on, on another device perhaps otherwise
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
        self._finish(model, fitted, plan, sections, keep, plan.steps / loader.steps_per_epoch, before)

    def _finish(
        self,
        model: Classifier | ResNet,
        fitted: Fitted,
        plan: Plan,
        sections: Sequence[str],
        keep: str,
        epochs: float,
        before: Before,
    ) -> None:
        """Write the model with its card, the learning curve and the cost, and say what went wrong if anything did."""
        backbone = model.backbone if isinstance(model, Classifier) else model
        found = [*before.warnings, *warnings_of(fitted.rows)]
        card = Card(
            mode=self.run.mode,
            seed=self.run.seed,
            dataset=self.meta.dataset,
            classes=self.meta.classes,
            image_size=self.meta.image_size,
            channels=self.meta.channels,
            mean=self.meta.mean,
            std=self.meta.std,
            model=self.model.model_dump(),
            training={
                "params": sections_of(self.params, sections),
                "selection": keep,
                "kept_step": fitted.kept_step,
                "steps": plan.steps,
                "image_passes": plan.image_passes,
                "spent_passes": before.spent_passes + plan.image_passes,
                "warnings": found,
                **({"labelled_images": len(self.labelled)} if isinstance(model, Classifier) else {}),
            },
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        save_model(self.run.model, model, card)
        cost = cost_of(backbone, self.meta, fitted, plan, self.precision, before)
        cost |= {"stage": self.run.stage, "kept_step": fitted.kept_step, "epochs": epochs, "warnings": found}
        write_log(self.run.log_folders, fitted.rows, cost)
        for warning in found:
            print(f"warning: {self.run.stage} s{self.run.seed}: {warning}", flush=True)


def open_session(params: Params, mode: str, seed: int) -> Session:
    """Open the data of a run. Raises ParamsError where params.yaml does not fit the data, before anything trains."""
    run = Run(params.dataset, mode, seed)
    check_against_data(params, load_meta(run.prepared))
    setup_torch()
    device = pick_device()
    with_masks = params.augment.object_share > 0 and run.section in WITH_VIEWS
    train = load_split(run.prepared, "train", device, with_masks=with_masks)
    val = load_split(run.prepared, "val", device)
    labelled = labelled_index(train.labels, params.labels, seed)
    ssl_labelled = ssl_labelled_index(train.labels, params.ssl.label_fraction, seed)
    model = params.teacher if mode == TEACHER else params.model
    return Session(params, run, device, pick_precision(device), train, val, labelled, ssl_labelled, model)


def run_stage(main: Callable[[int, Params], None], usage: str | None) -> None:
    """Run a stage that is given a seed on its command line, with the params.yaml of the working folder."""
    parser = argparse.ArgumentParser(description=usage)
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    with reported():
        main(arguments.seed, load_params())
