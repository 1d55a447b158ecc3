"""All of params.yaml: its sections together, and what must hold between them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fkt.core.arms import ARMS, MODES, PRETRAINED
from fkt.params.augment import Augment
from fkt.params.base import NonNegative, Section, distinct
from fkt.params.sections import (
    Budget,
    Cam,
    Evaluate,
    Labels,
    Model,
    Prepare,
    Report,
    Seed,
    Transfer,
)
from fkt.params.ssl import SSL
from fkt.params.training import CrossEntropy, Distill, Joint, Training


def _known(mode: str) -> str:
    if mode not in MODES:
        raise PydanticCustomError("literal_error", "unknown mode", {"expected": ", ".join(MODES)})
    return mode


def _some_arm(modes: list[str]) -> list[str]:
    if modes == [PRETRAINED]:
        raise ValueError(f"trains no classifier; add at least one arm: {', '.join(ARMS)}")
    return modes


class Params(Section):
    """All of params.yaml."""

    dataset: str
    """A name of the table in fkt/raw/datasets.py."""
    ssl_weight: NonNegative = Field(alias="lambda")
    """lambda in L = L_CE + lambda * L_SSL (arXiv:2304.01354, Eq. 5); 0 leaves the supervised gradient."""
    seeds: Annotated[list[Seed], AfterValidator(distinct)]
    """Repeats: they set the initialization, the labelled subset, the order and the views, never the test split."""
    modes: Annotated[list[Annotated[str, AfterValidator(_known)]], AfterValidator(distinct), AfterValidator(_some_arm)]
    """The arms that are compared, and thereby all that is trained. ``pretrained`` is no arm: it adds probes and
    class-free maps of the SSL-only backbone."""
    selection: Literal["auto", "validation", "last"]
    """Which epoch is kept: the best on validation images or the last; auto is the last where there are fewer
    labelled images than validation images, which would be labels through the back door."""
    prepare: Prepare
    labels: Labels
    budget: Budget
    augment: Augment
    model: Model
    ssl: SSL
    cross_entropy: CrossEntropy
    pretrain: Training
    finetune: Training
    supervised: Training
    joint: Joint
    frozen: Training
    distill: Distill
    evaluate: Evaluate
    transfer: Transfer
    cam: Cam
    report: Report

    @property
    def arms(self) -> list[str]:
        """The arms that are compared, in the order of the report."""
        return [arm for arm in ARMS if arm in self.modes]

    @property
    def teacher(self) -> Model:
        """The backbone that the distilled arm learns from."""
        return self.model.model_copy(update={"backbone": self.distill.teacher, "width": self.distill.teacher_width})

    @model_validator(mode="after")
    def _sizes_fit(self) -> Params:
        if self.cam.images > self.cam.candidates:
            raise ValueError(
                f"cam.images: {self.cam.images} is more than cam.candidates: {self.cam.candidates}; raise candidates"
            )
        if self.dataset in self.transfer.datasets:
            raise ValueError(f"transfer.datasets: '{self.dataset}' is what is trained on; name others, or none: []")
        if self.augment.object_share and self.prepare.masks == "none":
            raise ValueError(
                f"augment.object_share: {self.augment.object_share} judges crops by masks of the training images, and "
                "prepare.masks: none makes none; set prepare.masks: saliency or files"
            )
        if self.model.weights == "imagenet":
            if self.prepare.channels != 3:
                raise ValueError("model.weights: imagenet need prepare.channels: 3")
            if "distilled" in self.modes and (self.distill.teacher == "resnet10" or self.distill.teacher_width != 64):
                raise ValueError(
                    "model.weights: imagenet are the teacher's too, and need distill.teacher: resnet18, resnet34 or "
                    "resnet50 and distill.teacher_width: 64"
                )
        return self
