"""How long each arm trains: the same number of image passes for every arm, unless a section says ``epochs``.

An image pass is one image forward and backward through the backbone; a training image costs one in a supervised
step, V in an SSL step, and V + 1 in a joint step whose cross-entropy sees an image of its own. On a frozen backbone a
pass goes forward alone: the arm sees as many images as the others, and its FLOPs tell the difference.
"""

from __future__ import annotations

from dataclasses import dataclass

from fkt.core.errors import ParamsError
from fkt.params import Budget, Training


@dataclass(frozen=True)
class Plan:
    """The length of one training run."""

    steps: int
    passes_per_step: int
    """Image passes of one step."""
    num_images: int
    """N, all training images, labelled or not: passes are told per training image."""
    checks: int
    """How many times along the run it is looked at."""
    target_passes_per_step: int = 0
    """Images that go forward alone, through networks without gradient: FLOPs, but no image passes."""
    frozen: bool = False
    """Whether the image passes themselves go forward alone, through a backbone that is not trained."""

    @property
    def image_passes(self) -> int:
        """Image passes of the whole run."""
        return self.steps * self.passes_per_step

    def is_check(self, step: int) -> bool:
        """Whether the run is looked at after ``step`` steps (from 1): evenly spread, and always at the end."""
        return is_due(step, self.steps, self.checks)


def is_due(step: int, steps: int, times: int) -> bool:
    """Whether what is done ``times`` times along a run is done at ``step`` (from 1): evenly spread, and at the end.

    At every step where there are fewer steps than times; never where times is 0.
    """
    return step * times // steps > (step - 1) * times // steps


def plan_ssl(
    training: Training,
    budget: Budget,
    *,
    num_images: int,
    passes_per_image: float,
    passes: float,
    target_passes: int = 0,
) -> Plan:
    """Plan a run whose epoch is one pass of the SSL views over all training images (pretrain, joint).

    passes_per_image: image passes for each image of a batch (V, or V + 1; tiles cost a share of one), rounded to
    whole passes for the batch; passes: what the arm may spend for each training image, where ``training.epochs`` is
    null; target_passes: for each image, see Method.
    """
    per_step = round(training.batch_size * passes_per_image)
    if training.epochs is not None:
        steps = training.epochs * (num_images // training.batch_size)
    else:
        steps = passes * num_images / per_step
    targets = training.batch_size * target_passes
    return Plan(max(1, round(steps)), per_step, num_images, budget.checks, targets)


def plan_distill(training: Training, budget: Budget, *, num_images: int, spent_passes: int) -> Plan:
    """Plan a run on one view of each training image (distill): what is left of the share before the labels.

    spent_passes: image passes that went into the teacher. Raises ParamsError where nothing is left.
    """
    passes = budget.passes * budget.pretrain_share - spent_passes / num_images
    if training.epochs is None and passes * num_images < training.batch_size / 2:
        raise ParamsError(
            f"budget.pretrain_share: {budget.pretrain_share} of {budget.passes} passes leaves nothing for distill "
            f"after the teacher has spent {spent_passes / num_images:.1f}; shorten pretrain.epochs, or set "
            "distill.epochs"
        )
    return plan_ssl(training, budget, num_images=num_images, passes_per_image=1, passes=passes)


def plan_supervised(
    training: Training,
    budget: Budget,
    *,
    section: str,
    num_images: int,
    num_labelled: int,
    spent_passes: int = 0,
    frozen: bool = False,
) -> Plan:
    """Plan a run on labelled images (supervised, finetune, frozen): an epoch is one pass over those.

    section: the name of ``training``, for the message; spent_passes: image passes that the arm has already spent
    before it saw labels; frozen: see Plan. Raises ParamsError where nothing is left.
    """
    if training.epochs is not None:
        steps = training.epochs * num_labelled / training.batch_size
    else:
        left = budget.passes * num_images - spent_passes
        if left < training.batch_size / 2:  # not even one step, to the nearest
            raise ParamsError(
                f"budget.passes: {budget.passes} ({budget.passes * num_images:.0f} image passes) leaves nothing for "
                f"{section} after pretraining has spent {spent_passes}; raise budget.passes, shorten what comes before "
                f"(pretrain.epochs), or set {section}.epochs"
            )
        steps = left / training.batch_size
    return Plan(max(1, round(steps)), training.batch_size, num_images, budget.checks, frozen=frozen)
