"""Small joint runs, under each of the balances."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from fkt.models.classifier import Classifier
from fkt.params import GradNormParams, ScheduleParams
from fkt.training.balance import Balance, Fixed, GradNorm, Schedule, Uncertainty
from fkt.training.budget import Length
from fkt.training.loop import Fitted, fit
from fkt.training.objectives import Functional
from fkt.training.resume import Resume
from fkt.views.loader import Batch, Views
from tests.training.test_objectives import LABELS
from tests.training.test_optim import section

COSINE = ScheduleParams(curve="cosine", warmup_fraction=0.25)
NORMS = GradNormParams(alpha=1.5, learning_rate=0.025)
BALANCES: dict[str, Callable[[Classifier], Balance]] = {
    "fixed": lambda model: Fixed(0.7),
    "schedule": lambda model: Schedule(0.7, COSINE),
    "uncertainty": lambda model: Uncertainty(0.7),
    "gradnorm": lambda model: GradNorm(0.7, NORMS, model.backbone.last_convolution.weight),
}


class Batches:
    """A loader of small batches, each a function of its step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        for step in range(start, stop):
            if step == self.stop_at:
                raise KeyboardInterrupt
            generator = torch.Generator().manual_seed(step)
            images = [torch.randn(8, 1, 16, 16, generator=generator) for _ in range(3)]
            views = Views((images[0], images[1]), LABELS, torch.arange(8), (0, step))
            yield Batch(views, images[2], LABELS)


def run(
    objective: Functional,
    path: Path,
    loader: Batches | None = None,
    *,
    steps: int = 8,
    optimizer: str = "sgd",
    precision: torch.dtype = torch.float32,
) -> Fitted:
    return fit(
        objective,
        loader or Batches(),  # type: ignore[arg-type]
        Length(steps=steps, passes_per_step=24, num_images=24, checks=4),
        section(optimizer=optimizer, learning_rate=0.02, weight_decay=0.01),
        precision=precision,
        validate=None,
        keep="last",
        resume=Resume(path),
        label="test",
    )
