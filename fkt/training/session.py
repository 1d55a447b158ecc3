"""One training run: its data, its fresh weights, and the training itself."""

import math
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fkt.core import ranks
from fkt.core.arms import TEACHER
from fkt.core.errors import UserError
from fkt.core.files import file_digest
from fkt.core.hardware import pick_device, pick_precision, set_threads, setup_torch
from fkt.core.pipeline import code_digest, stage_params
from fkt.core.runs import Run
from fkt.data.keys import seeded
from fkt.data.meta import Meta, load_meta
from fkt.data.normalize import normalize
from fkt.data.store import Split, load_split
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.checkpoint import WEIGHTS, check_card, load_backbone
from fkt.models.classifier import Classifier
from fkt.models.flops import forward_flops, image_flops
from fkt.models.initial import initial_backbone
from fkt.params import Model, Params, Training
from fkt.training.base import Objective, SupervisedLoss
from fkt.training.batchnorm import recalibrate
from fkt.training.budget import Length, labelled_length
from fkt.training.labels import check_against_data, labelled_index, ssl_labelled_index
from fkt.training.loaders import labelled_loader
from fkt.training.loop import Fitted, fit
from fkt.training.monitor import Validate, validation
from fkt.training.objectives import Frozen, Representational
from fkt.training.record import Start, record
from fkt.training.resume import Resume, fingerprint
from fkt.views.loader import Loader

RECALIBRATION_BATCH = 256
"""Images in a batch of ``bn: recalibrated``, at most: one number for every arm."""


@dataclass(frozen=True)
class Session:
    """What a training run works with."""

    params: Params
    run: Run
    device: torch.device
    precision: torch.dtype
    train_split: Split
    val_split: Split
    labelled: Tensor
    """(M,) int64: positions in the train split of the images whose labels the run may see."""
    ssl_labelled: Tensor
    """(L,) int64: those of them whose labels an SSL method may see."""

    @property
    def meta(self) -> Meta:
        """Facts about the prepared dataset."""
        return self.train_split.meta

    @property
    def model(self) -> Model:
        """Settings of the run's backbone."""
        return self.params.teacher if self.run.name == TEACHER else self.params.model

    @property
    def training(self) -> Training:
        """Settings of the run's training: its section of params.yaml."""
        section = getattr(self.params, self.run.network.section)
        assert isinstance(section, Training)
        return section

    @property
    def keep(self) -> Literal["validation", "last"]:
        """Which step's weights are kept; see Params.selection."""
        if self.params.selection == "auto":
            return "last" if len(self.labelled) < len(self.val_split) else "validation"
        return self.params.selection

    @cached_property
    def settings(self) -> dict[str, object]:
        """The parameters that the run depends on, by their dotted names."""
        return stage_params(self.run.network.stage, self.params.model_dump(by_alias=True, mode="json"))

    @property
    def part_flops(self) -> int:
        """FLOPs of a forward pass of one part of a batch, whatever the arm and the SSL method do with an image."""
        with seeded("flops"):
            backbone = build_backbone(self.model, self.meta.channels)
        return image_flops(backbone, self.meta.channels, self.meta.image_size) * self.training.part_size

    def fresh_backbone(self) -> ResNet:
        """Return a new backbone. One seed gives every arm the same weights; the teacher has its own."""
        # A student that starts from the teacher's initial weights could learn these instead of the clusters.
        key = TEACHER if self.run.name == TEACHER else "backbone"
        return initial_backbone(self.model, self.meta.channels, self.run.seed, key)

    def fresh_classifier(self) -> Classifier:
        """Return a new backbone with a new linear layer. One seed gives every arm the same weights."""
        backbone = self.fresh_backbone()
        with seeded(self.run.seed, "head"):
            return Classifier(backbone, self.meta.num_classes)

    def cross_entropy(self) -> SupervisedLoss:
        """Return the supervised loss, which every arm shares."""
        labels = self.train_split.labels[self.labelled].cpu()
        return SupervisedLoss(self.params.cross_entropy, labels, self.meta.num_classes)

    def relative_flops(self, model: Model) -> float:
        """Return the FLOPs of a pass through a network relative to those of ``model.backbone``."""
        if model == self.params.model:
            return 1.0
        shape = (1, self.meta.channels, self.meta.image_size, self.meta.image_size)
        with torch.device("meta"):  # shapes without values
            sizes = [
                forward_flops(build_backbone(one, self.meta.channels), torch.zeros(shape))
                for one in (model, self.params.model)
            ]
        return sizes[0] / sizes[1]

    def labelled_length(self, arm: str | None = None, spent_passes: float = 0, *, frozen: bool = False) -> Length:
        """Return the length of an arm's training on the labelled images, by default of this run's."""
        section = Run("", arm or self.run.name, 0).network.section
        return labelled_length(
            getattr(self.params, section),
            self.params.budget,
            section=section,
            num_images=len(self.train_split),
            num_labelled=len(self.labelled),
            spent_passes=spent_passes,
            frozen=frozen,
        )

    def train_from_start(self, kind: type[Representational]) -> None:
        """Train on the labelled images from the backbone that this run starts from, with the passes that it left."""
        earlier = self.run.parts[-2]
        pretrained, card = load_backbone(earlier.model)
        check_card(card, earlier, self.params)
        start = Start(earlier.model, card.training["spent_passes"])
        length = self.labelled_length(spent_passes=start.spent_passes, frozen=kind is Frozen)
        objective = kind(self.fresh_classifier(), self.cross_entropy(), pretrained)
        self.train(objective, labelled_loader(self, length.passes_per_step), length, start)

    def train(self, objective: Objective, loader: Loader, length: Length, start: Start | None = None) -> None:
        """Minimize an objective, and write the model, its learning curve and its cost."""
        start = start or Start()
        objective.to(self.device)
        model, validate, keep = objective.model, None, self.keep
        if isinstance(model, Classifier) and ranks.is_first():
            validate = validation(model, self.val_split, self.training.part_size, self.precision)
        else:
            keep = "last"
        resume = Resume(self.run.checkpoint(self._fingerprint(length, start)))
        fitted = fit(
            objective,
            loader,
            length,
            self.training,
            precision=self.precision,
            validate=validate,
            keep=keep,
            resume=resume,
            label=self.run.label,
        )
        if not ranks.is_first():
            return
        if self.params.bn == "recalibrated" or objective.needs_statistics:
            fitted = self._recalibrated(model, fitted, validate)
        record(self, model, fitted, length, keep, start, objective.sizes)
        resume.finish()

    def _recalibrated(self, model: Classifier | ResNet, fitted: Fitted, validate: Validate | None) -> Fitted:
        """Estimate BatchNorm's statistics anew, and score the kept step of the learning curve again."""
        began, split = time.perf_counter(), self.train_split
        batches = torch.arange(len(split)).chunk(math.ceil(len(split) / RECALIBRATION_BATCH))  # of about equal size
        recalibrate(
            model,
            (normalize(split.images(i).to(self.device), self.meta.mean, self.meta.std) for i in batches),
        )
        rows = [
            row | validate() if validate is not None and row["step"] == fitted.kept_step else row for row in fitted.rows
        ]
        return replace(fitted, rows=rows, check_seconds=fitted.check_seconds + time.perf_counter() - began)

    def _fingerprint(self, length: Length, start: Start) -> str:
        """Return the digest of what the run depends on. Raises UserError if another process has another one."""
        found = fingerprint(
            params=self.settings,
            code=code_digest(self.run.network.stage),
            length=asdict(length),
            data=self.meta.checksums,
            start=file_digest(start.folder / WEIGHTS) if start.folder is not None else None,
            weights=start.weights,
            pseudo_labels=start.pseudo_labels,  # computed again when a run is resumed: another device may give others
            precision=str(self.precision),
            device=str(self.device),
        )
        number = int(found[:15], 16)
        if (number, -number) != (ranks.largest(number), ranks.largest(-number)):
            raise UserError(
                "the processes of this training differ in params.yaml, code, data, version of torch, device or "
                "precision; make them equal on all hosts (FKT_DEVICE, FKT_PRECISION)"
            )
        return found


def open_session(params: Params, run: Run) -> Session:
    """Open the data of a run. Raises ParamsError, before anything trains, where params.yaml does not fit the data."""
    check_against_data(params, load_meta(run.prepared))
    setup_torch()
    device = pick_device()
    train_split = load_split(run.prepared, "train", device)
    session = Session(
        params,
        run,
        device,
        pick_precision(device),
        train_split,
        load_split(run.prepared, "val", device),
        labelled_index(train_split.labels, params.labels, run.seed),
        ssl_labelled_index(train_split.labels, params.ssl.label_fraction, run.seed),
    )
    set_threads(session.part_flops / ranks.size())
    return session
