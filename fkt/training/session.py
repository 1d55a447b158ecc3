"""One training run: its data, its fresh weights, and the training itself."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fkt.core.arms import TEACHER
from fkt.core.files import file_digest
from fkt.core.hardware import pick_device, pick_precision, setup_torch
from fkt.core.pipeline import code_digest, stage_params
from fkt.core.runs import Run
from fkt.data.keys import seeded
from fkt.data.meta import Meta, load_meta
from fkt.data.store import Split, load_split
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import WEIGHTS, load_backbone
from fkt.models.classifier import Classifier
from fkt.models.initial import initial_backbone
from fkt.params import Model, Params, Training
from fkt.training.base import Objective, SupervisedLoss
from fkt.training.budget import Length, labelled_length
from fkt.training.labels import check_against_data, labelled_index, ssl_labelled_index
from fkt.training.loaders import labelled_loader
from fkt.training.loop import fit
from fkt.training.monitor import validation
from fkt.training.objectives import Frozen, Representational
from fkt.training.record import Start, record
from fkt.training.resume import Resume, fingerprint
from fkt.views.loader import Loader


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

    def labelled_length(self, arm: str | None = None, spent_passes: int = 0, *, frozen: bool = False) -> Length:
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
        folder = self.run.parts[-2].model
        pretrained, card = load_backbone(folder)
        start = Start(folder, card.training["spent_passes"])
        length = self.labelled_length(spent_passes=start.spent_passes, frozen=kind is Frozen)
        objective = kind(self.fresh_classifier(), self.cross_entropy(), pretrained)
        self.train(objective, labelled_loader(self, length.passes_per_step), length, start)

    def train(self, objective: Objective, loader: Loader, length: Length, start: Start | None = None) -> None:
        """Minimize an objective, and write the model, its learning curve and its cost."""
        start = start or Start()
        objective.to(self.device)
        model, validate, keep = objective.model, None, self.keep
        if isinstance(model, Classifier):
            validate = validation(model, self.val_split, self.training.batch_size, self.precision)
        else:
            keep = "last"
        fitted = fit(
            objective,
            loader,
            length,
            self.training,
            precision=self.precision,
            validate=validate,
            keep=keep,
            resume=Resume(self.run.checkpoint(self._fingerprint(length, start))),
            label=self.run.label,
        )
        record(self, model, fitted, length, keep, length.steps / loader.steps_per_epoch, start)

    def _fingerprint(self, length: Length, start: Start) -> str:
        return fingerprint(
            params=self.settings,
            code=code_digest(self.run.network.stage),
            length=asdict(length),
            data=self.meta.checksums,
            start=file_digest(start.folder / WEIGHTS) if start.folder is not None else None,
            pseudo_labels=start.pseudo_labels,  # computed again when a run is resumed: another device may give others
            precision=str(self.precision),
            device=str(self.device),
        )


def open_session(params: Params, run: Run) -> Session:
    """Open the data of a run. Raises ParamsError, before anything trains, where params.yaml does not fit the data."""
    check_against_data(params, load_meta(run.prepared))
    setup_torch()
    device = pick_device()
    train_split = load_split(run.prepared, "train", device)
    return Session(
        params,
        run,
        device,
        pick_precision(device),
        train_split,
        load_split(run.prepared, "val", device),
        labelled_index(train_split.labels, params.labels, run.seed),
        ssl_labelled_index(train_split.labels, params.ssl.label_fraction, run.seed),
    )
