"""The one training loop. It does not know labels, SSL or modes."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch.optim import Optimizer

from fkt.core import ranks
from fkt.core.errors import Diverged
from fkt.core.stopping import Stopped, StopSignals
from fkt.params import Training
from fkt.training.base import Objective
from fkt.training.budget import Length
from fkt.training.monitor import Validate
from fkt.training.optim import build_optimizer, learning_rate
from fkt.training.progress import Progress
from fkt.training.resume import Resume, State
from fkt.views.loader import Batch, Loader


@dataclass(frozen=True)
class Fitted:
    """The result of a run, besides the weights in its objective."""

    rows: list[dict[str, float]]
    """The learning curve: one row for each validation."""
    kept_step: int
    """The step whose weights the objective has now."""
    train_seconds: float
    """Time spent on steps."""
    check_seconds: float
    """Time spent on validation."""


def fit(
    objective: Objective,
    loader: Loader,
    length: Length,
    training: Training,
    *,
    precision: torch.dtype,
    validate: Validate | None,
    keep: Literal["validation", "last"],
    resume: Resume,
    label: str,
) -> Fitted:
    """Train an objective for ``length.steps`` steps, and load the kept weights into it.

    keep: ``validation`` keeps the weights with the best validation accuracy (ties: the lower validation loss, then the
    earlier step), ``last`` the last. label: text of the progress bar. Raises Diverged if a loss is not finite, Stopped
    after a signal, and whatever Objective.check raises.
    """
    optimizer = build_optimizer(objective, training)
    state = _resumed(objective, optimizer, resume)
    progress = Progress(label, length.steps, state.step, length.passes_per_step)
    if state.step < length.steps:
        with StopSignals(twice_ends=True) as stop:
            objective.train()
            began = time.perf_counter()
            batches = loader.steps(state.step, length.steps)
            while state.step < length.steps:
                rate = learning_rate(state.step, length.steps, training.learning_rate, training.warmup_fraction)
                objective.before_step(state.step, length.steps)
                take_step(objective, optimizer, batches, training.accumulate_steps, rate, precision, state)
                objective.after_step(state.step / length.steps)
                row = None
                if length.is_check(state.step):
                    row = _check(state, length, rate, label)  # waits for the GPU to finish its steps
                    objective.check(row)
                    stopped = time.perf_counter()
                    state.train_seconds += stopped - began
                    row.update(validate() if validate is not None else {})
                    _keep(objective, state, row, keep)
                    began = time.perf_counter()
                    state.check_seconds += began - stopped
                asked = ranks.largest(stop.number or 0)  # the processes end after the same step
                saved = False
                if ranks.is_first() and (asked or resume.due(state.step, length.steps)):
                    state.train_seconds += time.perf_counter() - began
                    saved = resume.save(objective, optimizer, state)
                    began = time.perf_counter()
                if asked:
                    said = f"after step {state.step} of {length.steps}"
                    raise Stopped(asked, f"saved {said}; the next run resumes there" if saved else said)
                if ranks.is_first():
                    progress.update(state.step, row)
    progress.close()
    if state.kept is not None:
        objective.load_state_dict(state.kept)
    return Fitted(state.rows, state.kept_step, state.train_seconds, state.check_seconds)


def take_step(
    objective: Objective,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    parts: int,
    rate: float,
    precision: torch.dtype,
    state: State,
) -> None:
    """Take one step along the mean gradient of the next batches, which are the parts of one.

    The losses are summed on the device, so that no step waits for them.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    autocast = torch.autocast(_device(objective).type, precision, enabled=precision != torch.float32)
    told: set[str] = set()
    for batch in islice(batches, parts):
        with autocast, ranks.split(len(batch.labels)):
            losses = objective.loss(batch)
        (losses["total"] / parts).backward()
        for name, value in losses.items():
            value = value.detach()
            state.sums[name] = state.sums[name] + value if name in state.sums else value
        told.update(losses)
    ranks.average([parameter.grad for parameter in objective.parameters() if parameter.grad is not None])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for name in told:  # a part without a value counts as 0: cross-entropy of a part without labels
        state.counted[name] = state.counted.get(name, 0) + parts
    state.step += 1


def _check(state: State, length: Length, rate: float, label: str) -> dict[str, float]:
    """Return a row of the learning curve from the means since the last row. Raises Diverged.

    A value that only some steps have is a mean over these steps.
    """
    means = {name: float(value) / state.counted[name] for name, value in state.sums.items()}
    state.sums, state.counted = {}, {}
    for name, value in means.items():
        if not math.isfinite(value):
            since = int(state.rows[-1]["step"]) if state.rows else 0
            raise Diverged(
                f"{label}: {name} became {value} between step {since + 1} and step {state.step} of {length.steps}; "
                "lower the learning rate, lengthen the warm-up, or set FKT_PRECISION=fp32"
            )
    passes = state.step * length.passes_per_step / length.num_images
    return {"passes": passes, "step": state.step, "learning_rate": rate, "loss": means.pop("total"), **means}


def _keep(objective: Objective, state: State, row: dict[str, float], keep: str) -> None:
    """Append the row, and keep a copy of the weights if they are the best so far and the best are wanted."""
    earlier = [r for r in state.rows if r["step"] == state.kept_step]
    state.rows.append(row)
    if keep == "last":
        state.kept_step = state.step
    elif not earlier or _rank(row) > _rank(earlier[0]):
        state.kept_step = state.step
        state.kept = {name: tensor.detach().clone() for name, tensor in objective.state_dict().items()}


def _rank(row: dict[str, float]) -> tuple[float, float]:
    return row["val_accuracy"], -row["val_loss"]


def _resumed(objective: Objective, optimizer: Optimizer, resume: Resume) -> State:
    """Restore an unfinished run in every process, from the file of the first: hosts may not share a disk."""
    state = resume.load(objective, optimizer) if ranks.is_first() else State()
    if ranks.size() > 1:
        mine = {"module": objective.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}
        run = ranks.from_first(mine, _device(objective))
        if not ranks.is_first():
            objective.load_state_dict(run["module"])
            optimizer.load_state_dict(run["optimizer"])
            state = State(**run["state"])
    return state


def _device(objective: Objective) -> torch.device:
    return next(objective.parameters()).device
