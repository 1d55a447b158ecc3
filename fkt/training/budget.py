"""How long each arm trains: every arm spends the same amount of ``budget.unit``, unless a section sets ``epochs``.

An image pass is one image forward and backward through the backbone. A training image costs one pass in a supervised
step, V in an SSL step, and V + 1 in a joint step whose cross-entropy sees an image of its own. The units:

- ``passes``: image passes. Passes through a frozen backbone and through a larger teacher count like any other.
- ``flops``: FLOPs of the backbones, written as passes: three forward passes of ``model.backbone`` are one pass. A pass
  through a frozen backbone or a momentum target is one forward pass. A teacher's passes count its own FLOPs.
- ``labelled_steps``: a run that sees labels takes as many steps as a supervised run under ``passes``. Training before
  the labels comes on top, and is as long as under ``passes``.
- ``epochs``: a run sees each image that it learns from ``budget.epochs`` times: a labelled run the labelled images, an
  SSL or joint run all training images. With a label budget the joint run then needs ``joint.images: same``: it sees the
  labels of the images in its SSL batches, so that it sees each labelled image as often as the other arms do.
"""

from dataclasses import dataclass
from typing import Literal

from fkt.core.errors import ParamsError
from fkt.params import Budget, Training

FORWARD = 1 / 3
"""FLOPs of a forward pass relative to an image pass: a backward pass is twice a forward pass, by convention."""


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
    spent_per_step: float = 0.0
    """What a step spends of the budget: image passes, or FLOPs as passes if ``budget.unit`` is flops."""
    steps_per_epoch: float = 1.0
    """Steps in which the run sees about once each image that it learns from."""
    reason: Literal["own_epochs", "passes", "flops", "labelled_steps", "epochs"] = "passes"
    """Why the run has this length: its section sets ``epochs``, or ``budget.unit``."""

    @property
    def image_passes(self) -> int:
        """Image passes of the whole run."""
        return self.steps * self.passes_per_step

    @property
    def spent(self) -> float:
        """What the whole run spends of the budget; see ``spent_per_step``."""
        return self.steps * self.spent_per_step

    @property
    def epochs(self) -> float:
        """How often the run sees each image that it learns from, about."""
        return self.steps / self.steps_per_epoch

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
    relative_flops: float = 1.0,
    sees_labels: bool = False,
) -> Length:
    """Return the length of a run whose epoch is one pass of the SSL views over all training images.

    passes_per_image: image passes for each image of a batch (V, or V + 1; tiles cost a part of one). passes: what the
    arm may spend per training image, where ``training.epochs`` is empty. target_passes: per image; see Method.
    relative_flops: of the run's backbone, relative to ``model.backbone``. sees_labels: whether it is the joint run.
    """
    batch = training.batch_size
    per_step, targets = round(batch * passes_per_image), batch * target_passes
    spent = relative_flops * (per_step + FORWARD * targets) if budget.unit == "flops" else per_step
    per_epoch = float(num_images // batch)  # of full batches; the images that an epoch leaves out are others each time
    if training.epochs is not None:
        steps = training.epochs * per_epoch
    elif budget.epochs is not None:
        per_epoch = num_images / batch  # exact, so that all arms see the labelled images equally often
        steps = budget.epochs * per_epoch
    elif sees_labels and budget.unit == "labelled_steps":
        steps = passes * num_images / batch
    else:
        steps = passes * num_images / spent
    return Length(
        max(1, round(steps)),
        per_step,
        num_images,
        budget.checks,
        targets,
        spent_per_step=spent,
        steps_per_epoch=per_epoch,
        reason=_reason(training, budget),
    )


def labelling_cost(budget: Budget, num_images: int, relative_flops: float) -> float:
    """Return what the teacher's forward pass over the images that it labels spends of the budget: FLOPs, no passes."""
    return FORWARD * relative_flops * num_images if budget.unit == "flops" else 0.0


def distill_length(training: Training, budget: Budget, *, num_images: int, spent_passes: float) -> Length:
    """Return the length of a run on one view of each training image, with the passes that the teacher left.

    spent_passes: what the teacher's training, and its labelling, spent of the budget. Raises ParamsError where nothing
    is left.
    """
    passes = budget.passes * budget.pretrain_share - spent_passes / num_images
    if _computed(training, budget) and passes * num_images < training.batch_size / 2:
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
    spent_passes: float = 0,
    frozen: bool = False,
) -> Length:
    """Return the length of a run on labelled images, whose epoch is one pass over these.

    section: name of ``training``, for the message. spent_passes: what the arm spent of the budget before. frozen: see
    Length. Raises ParamsError where nothing is left.
    """
    batch = training.batch_size
    spent = FORWARD * batch if frozen and budget.unit == "flops" else batch
    if training.epochs is not None:
        steps = training.epochs * num_labelled / batch
    elif budget.epochs is not None:
        steps = budget.epochs * num_labelled / batch
    elif budget.unit == "labelled_steps":
        steps = budget.passes * num_images / batch
    else:
        left = budget.passes * num_images - spent_passes
        if left < spent / 2:  # rounds to no step at all
            raise ParamsError(
                f"budget.passes: {budget.passes} ({budget.passes * num_images:.0f} image passes) leaves nothing for "
                f"{section} after pretraining has spent {spent_passes:.0f}; raise budget.passes, shorten what comes "
                f"before (pretrain.epochs), or set {section}.epochs"
            )
        steps = left / spent
    return Length(
        max(1, round(steps)),
        batch,
        num_images,
        budget.checks,
        frozen=frozen,
        spent_per_step=spent,
        steps_per_epoch=num_labelled / batch,
        reason=_reason(training, budget),
    )


def _computed(training: Training, budget: Budget) -> bool:
    """Return whether the length follows from budget.passes."""
    return training.epochs is None and budget.unit != "epochs"


def _reason(training: Training, budget: Budget) -> Literal["own_epochs", "passes", "flops", "labelled_steps", "epochs"]:
    return budget.unit if training.epochs is None else "own_epochs"
