"""The sections of params.yaml, one model each; no default stands in code, every number is in the file."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from fkt.params.augment import Augment
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
Mode = Literal["supervised", "representational", "functional"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
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

    backbone: Literal["resnet10", "resnet18", "resnet34", "resnet50"]
    width: Annotated[int, Field(ge=16)]
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
    """The self-supervised method, used for pretraining and in the joint run alike; each has a section of its own."""

    method: Literal[
        "simclr",
        "moco",
        "byol",
        "simsiam",
        "swav",
        "barlow_twins",
        "vicreg",
        "supcon",
        "tribyol",
        "cross",
        "pirl_jigsaw",
        "pirl_rotation",
        "rotation",
        "jigsaw_pp",
    ]
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
    modes: Annotated[list[Mode], AfterValidator(_distinct)]
    """The arms that are compared."""
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
    evaluate: Evaluate
    transfer: Transfer
    cam: Cam
    report: Report

    @model_validator(mode="after")
    def _sizes_fit(self) -> Params:
        if self.cam.images > self.cam.candidates:
            raise ValueError(
                f"cam.images: {self.cam.images} is more than cam.candidates: {self.cam.candidates}; raise candidates"
            )
        if self.dataset in self.transfer.datasets:
            raise ValueError(f"transfer.datasets: '{self.dataset}' is what is trained on; name others, or none: []")
        if self.model.weights == "imagenet" and self.prepare.channels != 3:
            raise ValueError("model.weights: imagenet need prepare.channels: 3")
        return self
