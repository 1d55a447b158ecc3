"""How long each arm trains: the same number of image passes for every arm, unless a section says ``epochs``.

An image pass is one image forward and backward through the backbone; a training image costs one in a supervised
step, V in an SSL step, and V + 1 in a joint step whose cross-entropy sees an image of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from fkt.errors import ParamsError
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
    passes_per_image: int,
    passes: float,
    target_passes: int = 0,
) -> Plan:
    """Plan a run whose epoch is one pass of the SSL views over all training images (pretrain, joint).

    passes_per_image: image passes for each image of a batch (V, or V + 1); passes: what the arm may spend for each
    training image, where ``training.epochs`` is null; target_passes: for each image, see Method.
    """
    per_step = training.batch_size * passes_per_image
    if training.epochs is not None:
        steps = training.epochs * (num_images // training.batch_size)
    else:
        steps = passes * num_images / per_step
    targets = training.batch_size * target_passes
    return Plan(max(1, round(steps)), per_step, num_images, budget.checks, targets)


def plan_supervised(
    training: Training, budget: Budget, *, num_images: int, num_labelled: int, spent_passes: int = 0
) -> Plan:
    """Plan a run on labelled images (supervised, finetune): an epoch is one pass over those.

    spent_passes: image passes that the arm has already spent on pretraining. Raises ParamsError where nothing is left.
    """
    if training.epochs is not None:
        steps = training.epochs * num_labelled / training.batch_size
    else:
        left = budget.passes * num_images - spent_passes
        if left < training.batch_size / 2:  # not even one step, to the nearest
            raise ParamsError(
                f"budget.passes: {budget.passes} ({budget.passes * num_images:.0f} image passes) leaves nothing to "
                f"fine-tune with after pretraining has spent {spent_passes}; raise budget.passes, shorten "
                "pretrain.epochs, or set finetune.epochs"
            )
        steps = left / training.batch_size
    return Plan(max(1, round(steps)), training.batch_size, num_images, budget.checks)
