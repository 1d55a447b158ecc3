"""The sections of params.yaml except augmentation, SSL and training. No default is in the code: all are in the file."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fkt.core.arms import ARMS
from fkt.params.base import Count, Fraction, NonNegative, PathText, Positive, Section, Seed, distinct, not_twice

Backbone = Literal["resnet10", "resnet18", "resnet34", "resnet50"]
Width = Annotated[int, Field(ge=16, le=4096)]


def _group_rule(rule: str) -> str:
    kind, _, value = rule.partition(":")
    if rule == "parent_folder" or (kind == "column" and value):
        return rule
    if kind != "pattern" or not value:
        raise ValueError("write parent_folder, column:NAME or pattern:REGEX")
    try:
        found = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"the pattern is not a regular expression ({error}); correct it") from error
    if found != 1:
        raise ValueError(f"the pattern has {found} capturing groups; put one pair of parentheses around the name")
    return rule


GroupRule = Annotated[str, AfterValidator(_group_rule)]


def _two_arms(contrast: str) -> str:
    first, _, second = contrast.partition(" - ")
    if first not in ARMS or second not in ARMS or first == second:
        raise ValueError(f"write two different arms as 'functional - supervised'; the arms are {', '.join(ARMS)}")
    return contrast


Contrast = Annotated[str, AfterValidator(_two_arms)]
Fit = Literal["crop", "pad", "stretch"]


def _whole(value: object) -> object:
    """Refuse True and 3.0, which are equal to the whole numbers of a Literal."""
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "not a whole number")
    return value


class Prepare(Section):
    """How raw images become arrays and splits."""

    source: PathText | None
    """Folder of the raw data; empty: data/raw/<dataset>."""
    table: PathText | None
    """For dataset folder: a CSV file with the columns path and label, and optionally split; see fkt/raw/table.py."""
    groups: GroupRule | None
    """Which images belong together and are never in different splits: parent_folder, column:NAME (of the table) or
    pattern:REGEX (one capturing group, searched in the path below the source); see fkt/raw/groups.py."""
    download: bool
    """Whether torchvision may download the dataset if it is absent."""
    image_size: Annotated[int, Field(ge=8, le=1024)]
    """Side of the square images in pixels."""
    fit: Fit
    """How an image becomes a square. crop: the shorter side is resized to image_size, then the center is cut out. pad:
    the longer side is resized to it, and the rest is black. stretch: both sides are resized to it."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)]
    """1: gray, 3: color."""
    ordered: bool
    """Whether the classes are grades, in the order of their names, so that quadratic kappa is a score."""
    val_fraction: Fraction
    """Fraction of each class's training images that becomes the validation set."""
    test_fraction: Fraction
    """Fraction of each class that becomes the test set, if the source has no test set."""
    val_as_test: bool
    """Whether the validation images of a source without test images become the test set."""
    split_seed: Seed
    """Seed of the splits. It is independent of the seeds of the runs, so that all runs share their splits."""
    limit_per_class: Count | None
    """Keep at most this many images of a class in each of the source's splits; empty: keep all."""
    max_pixels: Annotated[int, Field(ge=64, le=10**10)]
    """Image files with more pixels are not decoded, but treated as on_corrupt says. A decoded pixel needs 3 bytes or
    more, and several images are decoded at once."""
    follow_links: bool
    """Whether symbolic links in the source are followed. The source itself may always be one."""
    on_corrupt: Literal["error", "skip"]
    """For files that cannot be read: stop and name them, or leave them out and name them."""
    on_conflict: Literal["keep", "drop"]
    """For identical images with different labels: keep all of them, or leave all of them out."""
    masks: Literal["none", "saliency", "files"]
    """Masks of the object in each training image, for augment.object_share. saliency: computed from the image. files:
    image files in the folder <source>-masks, at the same relative path as their image."""

    @model_validator(mode="after")
    def _columns_have_a_table(self) -> Self:
        if self.groups is not None and self.groups.startswith("column:") and self.table is None:
            raise ValueError(f"groups: {self.groups} names a column of a table; set prepare.table, or use another rule")
        return self


class Labels(Section):
    """The label budget: how many training labels the supervised losses may see, drawn anew for each seed."""

    per_class: Count | None
    """Labelled training images of each class; empty: no such limit."""
    fraction: Fraction | None
    """Labelled fraction of each class's training images, at least one image each; empty: no such limit."""

    def count(self, available: int) -> int:
        """Return how many images of a class are labelled, given how many training images the class has."""
        if self.per_class is not None:
            return self.per_class
        if self.fraction is not None:
            return max(1, int(available * self.fraction + 0.5))
        return available

    @property
    def limited(self) -> bool:
        """Whether some labels may be unknown."""
        return self.per_class is not None or self.fraction is not None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.per_class is not None and self.fraction is not None:
            raise ValueError("per_class and fraction are both set; leave one of them empty")
        return self


class Budget(Section):
    """The budget of every arm."""

    unit: Literal["passes", "flops", "labelled_steps", "epochs"]
    """What every arm spends the same amount of; see fkt/training/budget.py."""
    passes: Positive
    """Image passes (forward and backward) through the backbone per training image, for each arm. unit flops: their
    FLOPs. unit labelled_steps: those of the supervised arm, whose number of steps every arm takes on labels."""
    epochs: Positive | None
    """With unit epochs, and only there: the epochs of every section whose own ``epochs`` is empty."""
    pretrain_share: Fraction
    """Fraction of its passes that an arm with pretraining spends before it sees labels."""
    checks: Count
    """How often along a run validation images are scored; each time adds a row to the learning curve, and is a
    candidate for the weights that are kept."""

    @model_validator(mode="after")
    def _epochs_are_the_unit(self) -> Self:
        if self.unit == "epochs" and self.epochs is None:
            raise ValueError("unit: epochs needs a number of epochs; set budget.epochs")
        if self.unit != "epochs" and self.epochs is not None:
            raise ValueError(
                f"epochs: {self.epochs} counts with unit: epochs only, but unit is {self.unit}; leave budget.epochs "
                "empty, or set budget.unit: epochs"
            )
        return self


class Model(Section):
    """The backbone, the same in every arm."""

    backbone: Backbone
    """The network, by its number of layers."""
    width: Width
    """Channels of the first stage; 64 is the standard network. Below 16, torch 2.15's bf16 convolutions on a CPU
    corrupt memory at odd batch sizes."""
    stem: Literal["small", "imagenet"]
    """small: 3x3 convolution, stride 1, no pooling (images up to about 64 px). imagenet: 7x7, stride 2, pooling."""
    weights: Literal["none", "imagenet"]
    """Initial weights of the backbone in every arm."""

    @model_validator(mode="after")
    def _imagenet_weights_fit(self) -> Self:
        if self.weights == "imagenet":
            if self.backbone == "resnet10":
                raise ValueError("weights: imagenet exists for resnet18, resnet34 and resnet50; choose one of them")
            if self.width != 64 or self.stem != "imagenet":
                raise ValueError("weights: imagenet needs width: 64 and stem: imagenet")
        return self


class Evaluate(Section):
    """How a model is scored on the test images."""

    batch_size: Count
    """Images that are classified at once; no effect on the results."""
    knn_neighbors: Count
    """K of the weighted kNN; at most half of the training images of the smallest class."""
    knn_temperature: Positive
    """T in the vote weight exp(similarity / T)."""
    linear_l2: Annotated[list[NonNegative], AfterValidator(distinct)]
    """Candidates for the weight of the squared norm in the loss of the linear probe, chosen on validation images."""
    linear_iterations: Count
    """L-BFGS iterations of the linear probe for each candidate."""
    calibration_bins: Annotated[int, Field(ge=1, le=1000)]
    """Equal-width confidence bins of the expected calibration error."""


class Transfer(Section):
    """Other datasets on which the features of the pretrained backbone are probed."""

    datasets: Annotated[list[str], AfterValidator(not_twice)]
    """Prepared with the settings of ``prepare`` from data/raw/<name>, without masks; empty: no such evaluation."""


class Cam(Section):
    """Which activation maps are drawn, and how."""

    images: Count
    """Test images in the figure; the same in every mode."""
    candidates: Count
    """Test images whose maps are computed; the figure shows some of them, both right and wrong predictions."""
    method: Literal["auto", "cam", "gradcam", "layercam"]
    """auto: CAM if the last feature map has min_positions, otherwise Grad-CAM on an earlier one."""
    min_positions: Count
    """Smallest side of a feature map that a map may be drawn from."""
    target: Literal["predicted", "true"]
    """The class whose evidence is drawn."""


class Report(Section):
    """How the runs are summarized."""

    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa", "auroc"]
    """The score that arms are compared by."""
    contrasts: Annotated[list[Contrast], AfterValidator(distinct)]
    """The comparisons that the verdict is about, as ``arm - arm``; those whose arms are not trained are left out."""
    margin: Positive
    """Smallest difference that matters, in points (hundredths of the metric)."""
    confidence: Fraction
    """Level of the intervals of all contrasts together."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The contrasts as (first arm, second arm)."""
        return [(first, second) for first, _, second in (contrast.partition(" - ") for contrast in self.contrasts)]
