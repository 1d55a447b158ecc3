"""The sections of the training runs."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fkt.params.base import Count, Fraction, Natural, NonNegative, PathText, Positive, Probability, Section, Size
from fkt.params.sections import Backbone, Width


def _weights_file(name: str) -> str:
    if not name.endswith((".pth", ".pt", ".safetensors")):
        raise ValueError("is not a file of weights; give one that ends in .pth, .pt or .safetensors, or leave it empty")
    return name


class CrossEntropy(Section):
    """The supervised loss, the same in every arm."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Part of the target that is spread evenly over the classes."""
    class_weights: Literal["none", "balanced"]
    """balanced: weight each class by the inverse of its share of the labelled images."""


class Training(Section):
    """One training run."""

    epochs: Positive | None
    """Passes over the images that the run learns from; empty: as budget.unit says."""
    batch_size: Size
    """Images in a step; views of the same image count once."""
    accumulate_steps: Count
    """Parts of a batch that go through the network one after another; the step follows the mean of their gradients.
    The memory is that of one part. Cross-entropy stays the mean over the batch. An SSL loss that compares images with
    each other compares those of a part alone: contrastive losses have fewer negatives (the queue of MoCo and the memory
    bank of PIRL stay). Batch normalization uses the statistics of a part."""
    optimizer: Literal["sgd", "adamw", "lars"]
    """How the weights follow the gradient."""
    learning_rate: Positive
    """Peak learning rate: linear warm-up, then a cosine to 0, step by step."""
    momentum: Probability
    """For sgd and lars; adamw keeps its own betas."""
    trust_coefficient: Positive
    """For lars: eta, the relative size of a layer's step."""
    weight_decay: NonNegative
    """For weights of two or more dimensions; biases and normalization layers have none."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of the steps over which the learning rate rises."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        size, parts = self.batch_size, self.accumulate_steps
        if size % parts or size < 2 * parts:
            raise ValueError(
                f"accumulate_steps: {parts} does not divide batch_size: {size} into equal parts of two or more images; "
                "change one of them"
            )
        return self

    @property
    def part_size(self) -> int:
        """Images that go through the network at once."""
        return self.batch_size // self.accumulate_steps


class ScheduleParams(Section):
    """``balance: schedule``: the weight of the self-supervised loss follows a curve over the run."""

    curve: Literal["constant", "linear", "cosine"]
    """How the weight goes from lambda to 0 after the warm-up; constant: it stays at lambda."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of the steps over which the weight first rises linearly from 0 to lambda."""


class GradNormParams(Section):
    """``balance: gradnorm`` (arXiv:1711.02257)."""

    alpha: NonNegative
    """How strongly both losses are made to fall at the same relative rate; 0: equal gradient norms."""
    learning_rate: Positive
    """Of the two weights, by Adam; 0.025 in the paper."""


class Joint(Training):
    """The joint run: cross-entropy + lambda * SSL."""

    ce_on: Literal["image", "views"]
    """Images that cross-entropy sees. image: the labelled image (the paper's figure). views: the SSL views.

    If every label is known, ``views`` classifies the features that SSL has computed, and saves a third of the passes.
    With a label budget, the labelled images get augmented views of their own, which saves nothing.
    """
    images: Literal["same", "independent"]
    """independent: labelled images are a stream of their own, in the order of the other arms. same: they are the images
    of the SSL views (the paper's three branches); of these, only labelled ones count in cross-entropy."""
    balance: Literal["fixed", "schedule", "uncertainty", "gradnorm"]
    """How the losses are weighted, in addition to lambda: not at all, by a curve over the run, by learned uncertainties
    (arXiv:1705.07115), or so that their gradients stay in proportion (arXiv:1711.02257)."""
    schedule: ScheduleParams
    gradnorm: GradNormParams
    gradient_checks: Natural
    """How often along the run the gradients of the two losses are compared; 0 = never. A comparison costs about as much
    as a backward pass and does not change the training."""

    @model_validator(mode="after")
    def _gradnorm_sees_whole_batches(self) -> Self:
        if self.balance == "gradnorm" and self.accumulate_steps > 1:
            raise ValueError(
                "balance: gradnorm compares the gradients of whole batches; set accumulate_steps: 1, or choose another "
                "balance"
            )
        return self


class ImageNet(Training):
    """The arm ``imagenet``: fine-tuning on the labels from torchvision's ImageNet-1k weights."""

    source: Annotated[PathText, AfterValidator(_weights_file)] | None
    """File with the weights, by torchvision's names: .pth, .pt or .safetensors; empty: torchvision downloads them."""


class Distill(Training):
    """Cluster-based transfer (Jigsaw++, arXiv:1805.00385): a teacher is pretrained with the settings of ``pretrain``,
    its features of the training images are clustered, and a fresh backbone learns to predict the cluster (this
    section). Fine-tuning follows with the settings of ``finetune``."""

    teacher: Backbone
    """The teacher's network; the paper's is deeper than the student's."""
    teacher_width: Width
    """Channels of its first stage; stem and initial weights are those of the model section."""
    teacher_share: Fraction
    """Fraction of the passes before the labels (budget.pretrain_share) for the teacher; the student gets the rest."""
    clusters: Size
    """K of k-means, the number of pseudo-classes."""
    n_init: Count
    """Starts of k-means; the best is kept."""
    max_iter: Count
    """Maximum number of iterations of each start."""
