"""How long each arm trains: the same number of image passes for every arm, unless a section sets ``epochs``.

An image pass is one image forward and backward through the backbone. A training image costs one pass in a supervised
step, V in an SSL step, and V + 1 in a joint step whose cross-entropy sees an image of its own. On a frozen backbone a
pass goes forward only: the arm sees as many images as the others for fewer FLOPs.
"""

from dataclasses import dataclass

from fkt.core.errors import ParamsError
from fkt.params import Budget, Training


@dataclass(frozen=True)
class Length:
    """The length of one training run."""

    steps: int
    passes_per_step: int
    """Image passes of one step."""
    num_images: int
    """N, all training images, labelled or not: passes are reported per training image."""
    checks: int
    """How often along the run validation images are scored."""
    target_passes_per_step: int = 0
    """Images that go forward through momentum targets: FLOPs, but no image passes."""
    frozen: bool = False
    """Whether image passes go forward only, through a backbone that is not trained."""

    @property
    def image_passes(self) -> int:
        """Image passes of the whole run."""
        return self.steps * self.passes_per_step

    def is_check(self, step: int) -> bool:
        """Return whether validation images are scored after ``step`` steps (from 1)."""
        return is_due(step, self.steps, self.checks)


def is_due(step: int, steps: int, times: int) -> bool:
    """Return whether something that happens ``times`` times along a run happens at ``step`` (from 1).

    The steps are evenly spread, and the last is among them. With fewer steps than times it is every step.
    """
    return step * times // steps > (step - 1) * times // steps


def ssl_length(
    training: Training,
    budget: Budget,
    *,
    num_images: int,
    passes_per_image: float,
    passes: float,
    target_passes: int = 0,
) -> Length:
    """Return the length of a run whose epoch is one pass of the SSL views over all training images.

    passes_per_image: image passes for each image of a batch (V, or V + 1; tiles cost a part of one). passes: what the
    arm may spend per training image, where ``training.epochs`` is empty. target_passes: per image; see Method.
    """
    per_step = round(training.batch_size * passes_per_image)
    if training.epochs is not None:
        steps = training.epochs * (num_images // training.batch_size)
    else:
        steps = passes * num_images / per_step
    targets = training.batch_size * target_passes
    return Length(max(1, round(steps)), per_step, num_images, budget.checks, targets)


def distill_length(training: Training, budget: Budget, *, num_images: int, spent_passes: int) -> Length:
    """Return the length of a run on one view of each training image, with the passes that the teacher left.

    spent_passes: image passes of the teacher's training. Raises ParamsError where none are left.
    """
    passes = budget.passes * budget.pretrain_share - spent_passes / num_images
    if training.epochs is None and passes * num_images < training.batch_size / 2:
        raise ParamsError(
            f"budget.pretrain_share: {budget.pretrain_share} of {budget.passes} passes leaves nothing for distill "
            f"after the teacher has spent {spent_passes / num_images:.1f}; shorten pretrain.epochs, or set "
            "distill.epochs"
        )
    return ssl_length(training, budget, num_images=num_images, passes_per_image=1, passes=passes)


def labelled_length(
    training: Training,
    budget: Budget,
    *,
    section: str,
    num_images: int,
    num_labelled: int,
    spent_passes: int = 0,
    frozen: bool = False,
) -> Length:
    """Return the length of a run on labelled images, whose epoch is one pass over these.

    section: name of ``training``, for the message. spent_passes: image passes that the arm spent before. frozen: see
    Length. Raises ParamsError where no passes are left.
    """
    if training.epochs is not None:
        steps = training.epochs * num_labelled / training.batch_size
    else:
        left = budget.passes * num_images - spent_passes
        if left < training.batch_size / 2:  # rounds to no step at all
            raise ParamsError(
                f"budget.passes: {budget.passes} ({budget.passes * num_images:.0f} image passes) leaves nothing for "
                f"{section} after pretraining has spent {spent_passes}; raise budget.passes, shorten what comes before "
                f"(pretrain.epochs), or set {section}.epochs"
            )
        steps = left / training.batch_size
    return Length(max(1, round(steps)), training.batch_size, num_images, budget.checks, frozen=frozen)
