"""All of params.yaml: its sections, and the conditions between them."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fkt.core.arms import ARMS, MODES, NETWORKS, PRETRAINED, chain
from fkt.params.augment import Augment
from fkt.params.base import NonNegative, Section, Seed, distinct, not_twice
from fkt.params.sections import Budget, Cam, Evaluate, Labels, Model, Prepare, Report, Transfer
from fkt.params.ssl import SSL
from fkt.params.training import CrossEntropy, Distill, ImageNet, Joint, Training
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
    bn: Literal["as_trained", "recalibrated"]
    """Running statistics of BatchNorm in the kept weights. recalibrated: estimated anew after each training run on the
    plain training images, labelled or not, so that they no longer differ with what an arm trains on."""
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
    imagenet: ImageNet
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
    def trained(self) -> list[str]:
        """The networks that are trained for the modes and for ``transfer``, each before those that start from it."""
        modes = [*self.modes, *([PRETRAINED] if self.transfer.datasets else [])]
        needed = {network.name for mode in modes for network in chain(mode)}
        return [name for name in NETWORKS if name in needed]

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
        if self.prepare.table is not None and self.dataset != "folder":
            raise ValueError(
                f"prepare.table: {self.prepare.table} is for dataset: folder, but the dataset is {self.dataset}; leave "
                "prepare.table empty, or set dataset: folder and prepare.source"
            )
        if self.augment.object_share and self.prepare.masks == "none":
            raise ValueError(
                f"augment.object_share: {self.augment.object_share} needs masks of the training images; set "
                "prepare.masks: saliency or files, or augment.object_share: 0.0"
            )
        self._check_imagenet_arm()
        self._check_protocol()
        if self.model.weights == "imagenet":
            if self.prepare.channels != 3:
                raise ValueError("model.weights: imagenet needs prepare.channels: 3")
            if "distilled" in self.modes and (self.distill.teacher == "resnet10" or self.distill.teacher_width != 64):
                raise ValueError(
                    "model.weights: imagenet applies to the teacher too; set distill.teacher: resnet18, resnet34 or "
                    "resnet50 and distill.teacher_width: 64"
                )
        return self

    def _check_imagenet_arm(self) -> None:
        if "imagenet" not in self.modes:
            return
        model = self.model
        if model.weights == "imagenet":
            raise ValueError(
                "modes: imagenet repeats supervised, because every arm starts from ImageNet weights; remove it, or set "
                "model.weights: none"
            )
        fits = model.backbone != "resnet10" and model.width == 64 and model.stem == "imagenet"
        if not fits or self.prepare.channels != 3:
            raise ValueError(
                f"modes: imagenet needs a network that has ImageNet weights, but this is a {model.backbone} with "
                f"width: {model.width}, stem: {model.stem} and {self.prepare.channels} channel(s); set model.backbone: "
                "resnet18, resnet34 or resnet50, model.width: 64, model.stem: imagenet and prepare.channels: 3, or "
                "remove the mode"
            )

    def _check_protocol(self) -> None:
        """Check that the arms can spend the same amount of budget.unit, and that the joint run has its labels."""
        functional, own_stream = "functional" in self.modes, self.joint.images == "independent"
        if self.budget.unit == "labelled_steps":
            sections = dict.fromkeys(NETWORKS[arm].section for arm in self.arms)
            sizes = {name: getattr(self, name).batch_size for name in sections}
            if len(set(sizes.values())) > 1:
                shown = ", ".join(f"{name}.batch_size: {size}" for name, size in sizes.items())
                raise ValueError(f"budget.unit: labelled_steps compares steps of one size, but {shown}; set them equal")
        if not (functional and self.labels.limited):
            return
        if self.budget.unit == "epochs" and self.joint.epochs is None and own_stream:
            raise ValueError(
                "budget.unit: epochs with a label budget needs joint.images: same; with independent the joint run "
                "would see each labelled image more often than the other arms"
            )
        if not own_stream and self.joint.balance in ("uncertainty", "gradnorm"):
            raise ValueError(
                f"joint.balance: {self.joint.balance} needs labels in every step, but with joint.images: same and a "
                "label budget a batch may have none; set joint.balance: fixed or schedule, or joint.images: independent"
            )
