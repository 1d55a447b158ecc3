"""The sections of params.yaml, one model each; no default stands in code, every number is in the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from fkt.errors import did_you_mean
from fkt.params.augment import Augment
from fkt.params.balance import GradNormParams, ScheduleParams
from fkt.params.base import Count, Fraction, Frozen, NonNegative, Positive, Probability
from fkt.params.methods import SimCLRParams
from fkt.params.methods_momentum import BYOLParams, CrossParams, MoCoParams, SimSiamParams, TriBYOLParams
from fkt.params.methods_negative_free import BarlowTwinsParams, SupConParams, SwAVParams, VICRegParams
from fkt.params.methods_pretext import (
    JigsawPPParams,
    PirlJigsawParams,
    PirlRotationParams,
    RotationParams,
)

Dataset = Literal[
    "digits",
    "cifar10",
    "cifar100",
    "mnist",
    "fashion_mnist",
    "kmnist",
    "usps",
    "svhn",
    "stl10",
    "intel",
    "aptos",
    "imagenet100",
    "folder",
]
TREES = ("intel", "imagenet100", "folder")
"""Those of which each image is a file that is used whole."""
Arm = Literal["supervised", "frozen", "representational", "distilled", "functional"]
Mode = Literal["pretrained", Arm]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Backbone = Literal["resnet10", "resnet18", "resnet34", "resnet50"]
Width = Annotated[int, Field(ge=16)]
T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    if not values:
        raise ValueError("the list is empty; name at least one")
    return _not_twice(values)


def _not_twice(values: list[T]) -> list[T]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} stands more than once; name each once")
    return values


def _some_arm(modes: list[Mode]) -> list[Mode]:
    if modes == ["pretrained"]:
        raise ValueError(f"a backbone without classifier is nothing to compare; add {' or '.join(get_args(Arm))}")
    return modes


class Prepare(Frozen):
    """How raw images become arrays and splits."""

    source: str | None
    """Folder of the raw data; null is data/raw/<dataset>."""
    download: bool
    """Whether a dataset that torchvision can fetch may be downloaded when it is absent."""
    image_size: Annotated[int, Field(ge=8, le=1024)]
    """Side of the square images in pixels: the shorter side is resized to it, then the center is cut out."""
    channels: Literal[1, 3]
    """1 keeps gray, 3 keeps color."""
    val_fraction: Fraction
    """Share of each class's training images that is held out for selection."""
    test_fraction: Fraction
    """Share of each class that becomes the test set, where the source has none of its own."""
    split_seed: Seed
    """Seed of the splits; independent of the seeds of the runs, so that all runs share their splits."""
    limit_per_class: Count | None
    """Keep at most this many images of a class in each of the source's splits; null keeps all."""
    on_corrupt: Literal["error", "skip"]
    """What to do with files that cannot be read: stop and name them, or leave them out and name them."""
    masks: Literal["none", "saliency", "files"]
    """Where the object of each training image is, for augment.object_share: spectral-residual saliency, or image files
    in a folder beside the source's, named as that with -masks, each of the same relative path as its image."""


class Labels(Frozen):
    """How many training labels the supervised losses may see, drawn anew for each seed."""

    per_class: Count | None
    """Labelled training images of each class; null for no such limit."""
    fraction: Fraction | None
    """Labelled share of each class's training images (at least one each); null for no such limit."""

    @model_validator(mode="after")
    def _one_budget(self) -> Labels:
        if self.per_class is not None and self.fraction is not None:
            raise ValueError("per_class and fraction are both set; set one of them to null")
        return self


class Budget(Frozen):
    """What every arm of the comparison may spend."""

    passes: Positive
    """Image passes (forward and backward) through the backbone per training image, for each arm."""
    pretrain_share: Fraction
    """Share of its passes that an arm with pretraining spends before it sees labels."""
    checks: Count
    """How often along a run validation images are scored, a row of the learning curve is written and the epoch
    that is kept may be chosen."""


class Model(Frozen):
    """The backbone, the same in every arm."""

    backbone: Backbone
    width: Width
    """Channels of the first stage; 64 is the standard network. Below 16, torch 2.15's bf16 convolutions on a CPU
    corrupt memory at odd batch sizes."""
    stem: Literal["small", "imagenet"]
    """small: 3x3 convolution, stride 1, no pooling (images up to about 64 px); imagenet: 7x7, stride 2, pooling."""
    weights: Literal["none", "imagenet"]
    """Initial weights of the backbone in every arm."""

    @model_validator(mode="after")
    def _imagenet_weights_fit(self) -> Model:
        if self.weights == "imagenet":
            if self.backbone == "resnet10":
                raise ValueError("weights: imagenet exist for resnet18, resnet34 and resnet50; choose one of them")
            if self.width != 64 or self.stem != "imagenet":
                raise ValueError("weights: imagenet need width: 64 and stem: imagenet")
        return self


class SSL(Frozen):
    """The self-supervised method, used for pretraining and in the joint run alike; each has a section of its own.

    Sections beyond these are kept as they are, for methods that bring a model of their section along
    (``Method.section``): it is checked when such a method is built, before it trains.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    method: str
    """The name of one of the sections."""
    label_fraction: Probability
    """Share of each class's training labels that the method itself may see, in pretraining and in the joint run alike
    (EffSSL's per cent of labels); at least one label a class above 0. They are among the labels of the budget."""
    rotation_weight: NonNegative
    """Of rotation prediction as an auxiliary task of the method (EffSSL, arXiv:2210.09866): the mean cross-entropy
    over all rotated views is multiplied by it; twice the rot_wt of the release, which adds two means. 0 is no task."""
    rotation_hidden: Count
    """Width of the hidden layer of the auxiliary task's head."""
    simclr: SimCLRParams
    moco: MoCoParams
    byol: BYOLParams
    simsiam: SimSiamParams
    swav: SwAVParams
    barlow_twins: BarlowTwinsParams
    vicreg: VICRegParams
    supcon: SupConParams
    tribyol: TriBYOLParams
    cross: CrossParams
    pirl_jigsaw: PirlJigsawParams
    pirl_rotation: PirlRotationParams
    rotation: RotationParams
    jigsaw_pp: JigsawPPParams

    @property
    def sections(self) -> dict[str, Frozen | dict[str, Any]]:
        """The section of each method; a dictionary where its model is elsewhere."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if isinstance(value, Frozen)} | self.__pydantic_extra__

    @model_validator(mode="after")
    def _method_has_a_section(self) -> SSL:
        if self.method not in self.sections:
            names = list(self.sections)
            raise ValueError(
                f"method: unknown value {self.method!r}; choose from: {', '.join(names)}"
                f"{did_you_mean(self.method, names)}"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_used(self) -> SSL:
        section = self.sections[self.method]
        if isinstance(section, dict):  # whoever wrote it knows
            return self
        eliminates = getattr(section, "false_negatives", "keep") == "eliminate"
        if self.method == "supcon" and not self.label_fraction:
            raise ValueError(
                "method: supcon learns from labels, and label_fraction: 0.0 gives it none; set label_fraction, or "
                "method: simclr, which is supcon without labels"
            )
        if eliminates and not self.label_fraction:
            raise ValueError(
                f"{self.method}.false_negatives: eliminate needs labels, and label_fraction: 0.0 gives it none; set "
                f"label_fraction, or {self.method}.false_negatives: keep"
            )
        if self.label_fraction and not (eliminates or self.method == "supcon"):
            raise ValueError(
                f"label_fraction: {self.label_fraction} gives labels to method: {self.method}, which uses none as it "
                "stands; set label_fraction: 0.0, false_negatives: eliminate (simclr, moco), or method: supcon"
            )
        return self

    @model_validator(mode="after")
    def _one_rotation_task(self) -> SSL:
        if self.method == "rotation" and self.rotation_weight:
            raise ValueError(
                "rotation_weight is set beside method: rotation, which is that task already; set it to 0.0"
            )
        return self


class CrossEntropy(Frozen):
    """The supervised loss, the same in every arm."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Share of the target spread evenly over the classes."""
    class_weights: Literal["none", "balanced"]
    """balanced weighs a class by the inverse of its share of the labelled images."""


class Training(Frozen):
    """One training run."""

    epochs: Positive | None
    """Passes over the images this run learns from; null spends what the budget gives."""
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["sgd", "adamw", "lars"]
    learning_rate: Positive
    """Peak rate; it rises linearly during the warm-up and falls to 0 along a cosine, step by step."""
    momentum: Probability
    """Of sgd and lars; adamw keeps its own betas."""
    trust_coefficient: Positive
    """Of lars: eta, the relative size of a layer's step."""
    weight_decay: NonNegative
    """Applied to weights of two or more dimensions; biases and normalization are left alone."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the rate rises."""


class Joint(Training):
    """The joint run: cross-entropy + lambda * SSL."""

    ce_on: Literal["image", "views"]
    """Which images cross-entropy sees: the labelled image (the paper's figure), or the SSL views.

    Where every label is known, ``views`` classifies the features that SSL has made and saves a third of the passes;
    with a label budget, labelled images of their own are augmented like the views, at no saving.
    """
    balance: Literal["fixed", "schedule", "uncertainty", "gradnorm"]
    """How the losses are weighed against each other, on top of lambda: not at all, by a curve over the run, by learned
    uncertainties (arXiv:1705.07115), or so that their gradients stay in proportion (arXiv:1711.02257)."""
    schedule: ScheduleParams
    gradnorm: GradNormParams
    gradient_checks: Annotated[int, Field(ge=0)]
    """How often along the run the two losses' gradients are compared; 0 is never. One costs about what the step's
    backward pass does, trains nothing, and changes nothing that is trained."""


class Distill(Training):
    """Cluster-based transfer (Jigsaw++, arXiv:1805.00385): a teacher is pretrained as ``pretrain`` says, its features
    of the training images are clustered, and a fresh backbone learns to tell the clusters apart: the training of this
    section. Fine-tuning then goes as ``finetune`` says."""

    teacher: Backbone
    """The teacher's network, deeper than model.backbone where the transfer is to pay."""
    teacher_width: Width
    """Channels of its first stage; stem and initial weights are those of the model section."""
    teacher_share: Fraction
    """Share of the passes before the labels (budget.pretrain_share) that the teacher gets, the student the rest."""
    clusters: Annotated[int, Field(ge=2)]
    """K of k-means, the number of pseudo-classes."""
    n_init: Count
    """Starts of k-means, of which the best is kept."""
    max_iter: Count
    """Iterations of each start, at most."""


class Evaluate(Frozen):
    """How a model is scored on the test images."""

    batch_size: Count
    knn_neighbors: Count
    """K of the weighted kNN; capped by the number of training images."""
    knn_temperature: Positive
    """T in the vote weight exp(similarity / T)."""
    linear_l2: NonNegative
    """Weight of the squared norm in the linear probe's loss."""
    linear_iterations: Count
    """L-BFGS iterations of the linear probe."""
    calibration_bins: Count
    """Equal-width confidence bins of the expected calibration error."""


class Transfer(Frozen):
    """Where the features of the pretrained backbone are probed beside the dataset that it was trained on."""

    datasets: Annotated[list[Dataset], AfterValidator(_not_twice)]
    """Prepared as the ``prepare`` section says, each from data/raw/<name>; none is no such evaluation."""


class Cam(Frozen):
    """Which activation maps are drawn, and how."""

    images: Count
    """How many test images the figure shows; the same ones in every mode."""
    candidates: Count
    """Test images whose maps are computed; the shown ones are picked among these, hits and misses both."""
    method: Literal["auto", "cam", "gradcam", "layercam"]
    """auto: CAM where the last feature map has min_positions, Grad-CAM on an earlier one where it has not."""
    min_positions: Count
    """Smallest side of a feature map that a map may be drawn from."""
    target: Literal["predicted", "true"]
    """The class whose evidence is drawn."""


class Report(Frozen):
    """How the runs are summarized."""

    bootstrap_samples: Annotated[int, Field(ge=100)]
    """Resamples of test images and seeds behind each interval."""
    confidence: Fraction
    """Level of the intervals; 1 - confidence is the level of the tests."""


class Params(Frozen):
    """All of params.yaml."""

    dataset: Dataset
    ssl_weight: NonNegative = Field(alias="lambda")
    """lambda in L = L_CE + lambda * L_SSL (arXiv:2304.01354, Eq. 5); 0 leaves the supervised gradient."""
    seeds: Annotated[list[Seed], AfterValidator(_distinct)]
    """Repeats: they set the initialization, the labelled subset, the order and the views, never the test split."""
    modes: Annotated[list[Mode], AfterValidator(_distinct), AfterValidator(_some_arm)]
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
    def arms(self) -> list[Arm]:
        """The modes that end in a classifier, in the order of params.yaml."""
        return [mode for mode in self.modes if mode != "pretrained"]

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
        if self.prepare.masks == "files" and self.dataset not in TREES:
            raise ValueError(
                f"prepare.masks: files need a dataset that is a tree of image files ({', '.join(TREES)}), which "
                f"{self.dataset} is not; set prepare.masks: saliency"
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
