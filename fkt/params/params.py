"""All of params.yaml: its sections, and the conditions between them."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fkt.core.arms import ARMS, MODES, PRETRAINED
from fkt.params.augment import Augment
from fkt.params.base import NonNegative, Section, distinct, not_twice
from fkt.params.sections import Budget, Cam, Evaluate, Labels, Model, Prepare, Report, Seed, Transfer
from fkt.params.ssl import SSL
from fkt.params.training import CrossEntropy, Distill, Joint, Training
from fkt.params.tuning import Tuned


def _known(mode: str) -> str:
    if mode not in MODES:
        raise PydanticCustomError("literal_error", "unknown mode", {"expected": ", ".join(MODES)})
    return mode


def _some_arm(modes: list[str]) -> list[str]:
    if modes == [PRETRAINED]:
        raise ValueError(f"trains no classifier; add at least one arm: {', '.join(ARMS)}")
    return modes


def _one_for_each_arm(entries: list[Tuned]) -> list[Tuned]:
    not_twice([entry.arm for entry in entries])
    return entries


Mode = Annotated[str, AfterValidator(_known)]


class Params(Section):
    """All of params.yaml."""

    dataset: str
    """A name of the table in fkt/raw/datasets.py."""
    ssl_weight: NonNegative = Field(alias="lambda")
    """lambda in L = L_CE + lambda * L_SSL (arXiv:2304.01354, Eq. 5); 0: the supervised gradient alone."""
    seeds: Annotated[list[Seed], AfterValidator(distinct)]
    """Repetitions: each sets the initialization, the labelled subset, the order and the views, never the test split."""
    modes: Annotated[list[Mode], AfterValidator(distinct), AfterValidator(_some_arm)]
    """The arms to train, and ``pretrained``: not compared, adds probes and maps of the SSL backbone."""
    selection: Literal["auto", "validation", "last"]
    """Which epoch is kept: the best on validation images, or the last. auto: the last if there are fewer labelled than
    validation images, because choosing would use labels that the label budget does not grant."""
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
    tuning: Annotated[list[Tuned], AfterValidator(_one_for_each_arm)]
    """What ``fkt tune`` has chosen, at most one entry for each arm."""

    @property
    def arms(self) -> list[str]:
        """The arms that are compared, in the order of the report."""
        return [arm for arm in ARMS if arm in self.modes]

    @property
    def teacher(self) -> Model:
        """The backbone that the distilled arm learns from."""
        return self.model.model_copy(update={"backbone": self.distill.teacher, "width": self.distill.teacher_width})

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.cam.images > self.cam.candidates:
            raise ValueError(
                f"cam.images: {self.cam.images} is more than cam.candidates: {self.cam.candidates}; raise candidates"
            )
        if self.dataset in self.transfer.datasets:
            raise ValueError(f"transfer.datasets: '{self.dataset}' is the training dataset; name others, or none: []")
        if self.augment.object_share and self.prepare.masks == "none":
            raise ValueError(
                f"augment.object_share: {self.augment.object_share} needs masks of the training images; set "
                "prepare.masks: saliency or files, or augment.object_share: 0.0"
            )
        if self.model.weights == "imagenet":
            if self.prepare.channels != 3:
                raise ValueError("model.weights: imagenet needs prepare.channels: 3")
            if "distilled" in self.modes and (self.distill.teacher == "resnet10" or self.distill.teacher_width != 64):
                raise ValueError(
                    "model.weights: imagenet applies to the teacher too; set distill.teacher: resnet18, resnet34 or "
                    "resnet50 and distill.teacher_width: 64"
                )
        return self
