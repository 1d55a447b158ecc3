"""The loop: it learns, it stops and goes on exactly, it keeps what it is told to, and it notices what goes wrong."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from fkt.core.errors import Diverged
from fkt.core.stopping import Stopped
from fkt.training.base import Objective
from fkt.training.budget import Length
from fkt.training.loop import Fitted, fit
from fkt.training.monitor import Validate, warnings_of
from fkt.training.resume import Resume
from fkt.views.loader import Batch
from tests.training.test_optim import section

TARGET = torch.tensor([[1.0, -2.0, 3.0]])


class Regression(Objective):
    """A convex stand-in for a network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1, bias=False)
        nn.init.zeros_(self.layer.weight)
        self.progress: list[float] = []

    @property
    def model(self) -> nn.Module:  # type: ignore[override]
        return self.layer

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.images is not None
        error = (self.layer(batch.images) - batch.images @ TARGET.T).square().mean()
        return {"total": error, "ce": error.detach()}

    def after_step(self, progress: float) -> None:
        self.progress.append(progress)


class Rows:
    """A loader whose batches are a function of the step, as the real one's are."""

    def __init__(
        self,
        stop_at: int | None = None,
        poison_at: int | None = None,
        signal_at: int | None = None,
        number: int = signal.SIGINT,
    ) -> None:
        self.stop_at, self.poison_at, self.signal_at, self.number = stop_at, poison_at, signal_at, number

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        for step in range(start, stop):
            if step == self.stop_at:
                raise KeyboardInterrupt
            if step == self.signal_at:
                os.kill(os.getpid(), self.number)
            images = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            if step == self.poison_at:
                images[0, 0] = torch.nan
            yield Batch(views=None, images=images, labels=torch.zeros(8))


def run(
    objective: Regression,
    loader: Rows,
    path: Path,
    *,
    steps: int = 40,
    validate: Validate | None = None,
    keep: Literal["validation", "last"] = "last",
) -> Fitted:
    return fit(
        objective,
        loader,  # type: ignore[arg-type]
        Length(steps=steps, passes_per_step=8, num_images=16, checks=10),
        section(optimizer="sgd", learning_rate=0.1, weight_decay=0.0),
        precision=torch.float32,
        validate=validate,
        keep=keep,
        resume=Resume(path),
        label="test",
    )


def save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save after every step."""
    monkeypatch.setattr("fkt.training.resume.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("fkt.training.resume.COST_RATIO", 0.0)


def test_the_loop_learns_and_tells_its_curve_in_passes_per_image(tmp_path: Path) -> None:
    objective = Regression()
    fitted = run(objective, Rows(), tmp_path / "run.pt")
    torch.testing.assert_close(objective.layer.weight, TARGET, rtol=0.05, atol=0.05)
    assert [row["step"] for row in fitted.rows] == list(range(4, 41, 4))
    assert fitted.rows[-1]["passes"] == 40 * 8 / 16
    assert fitted.rows[-1]["loss"] < 0.05 * fitted.rows[0]["loss"]
    assert fitted.kept_step == 40
    assert objective.progress == pytest.approx([(step + 1) / 40 for step in range(40)])


class Told(Regression):
    """Tells a number at some of its steps."""

    def before_step(self, step: int, steps: int) -> None:
        assert steps == 40
        self.step = step

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        told = {"told": torch.tensor(float(self.step))} if self.step in (4, 6, 39) else {}
        return super().loss(batch) | told


def test_what_some_steps_tell_is_a_mean_over_those(tmp_path: Path) -> None:
    rows = run(Told(), Rows(), tmp_path / "run.pt").rows  # of four steps each
    assert {row["step"]: row["told"] for row in rows if "told" in row} == {8: 5.0, 40: 39.0}


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_often(monkeypatch)
    whole, parts = Regression(), Regression()
    expected = run(whole, Rows(), tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), Rows(stop_at=22), tmp_path / "parts.pt")
    fitted = run(parts, Rows(), tmp_path / "parts.pt")
    assert torch.equal(whole.layer.weight, parts.layer.weight)
    assert fitted.rows == expected.rows
    assert len(parts.progress) == 18, "the steps before the last save are not done again"


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
def test_a_signal_saves_after_the_step_it_came_in_and_the_next_run_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FKT_SIGNAL", "USR1")
    number = signal.Signals[f"SIG{name}"]
    whole, parts = Regression(), Regression()
    expected = run(whole, Rows(), tmp_path / "whole.pt")
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="saved after step 22 of 40") as stopped:
        run(Regression(), Rows(signal_at=21, number=number), tmp_path / "parts.pt")
    assert stopped.value.number == number and signal.getsignal(number) is before
    fitted = run(parts, Rows(), tmp_path / "parts.pt")
    assert torch.equal(whole.layer.weight, parts.layer.weight)
    assert fitted.rows == expected.rows and len(parts.progress) == 18


@pytest.mark.parametrize(("keep", "kept_step"), [("last", 40), ("validation", 12)])
def test_the_kept_weights_are_those_that_were_asked_for(
    tmp_path: Path, keep: Literal["validation", "last"], kept_step: int
) -> None:
    objective, seen = Regression(), []
    accuracies = iter([0.1, 0.5, 0.7, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    losses = iter([1.0, 1.0, 0.5, 0.6, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])

    def validate() -> dict[str, float]:
        seen.append(objective.layer.weight.detach().clone())
        return {"val_accuracy": next(accuracies), "val_loss": next(losses)}

    fitted = run(objective, Rows(), tmp_path / "run.pt", validate=validate, keep=keep)
    assert fitted.kept_step == kept_step
    assert torch.equal(objective.layer.weight, seen[kept_step // 4 - 1])


def test_the_best_weights_so_far_outlast_an_interruption(tmp_path: Path) -> None:
    def validate() -> dict[str, float]:
        return {"val_accuracy": next(accuracies), "val_loss": 1.0}

    whole, parts = Regression(), Regression()
    accuracies = iter([0.1, 0.5, 0.9, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    expected = run(whole, Rows(), tmp_path / "whole.pt", validate=validate, keep="validation")
    accuracies = iter([0.1, 0.5, 0.9, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), Rows(signal_at=21), tmp_path / "parts.pt", validate=validate, keep="validation")
    fitted = run(parts, Rows(), tmp_path / "parts.pt", validate=validate, keep="validation")
    assert fitted.kept_step == expected.kept_step == 12
    assert torch.equal(parts.layer.weight, whole.layer.weight)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"test: total became nan between step 9 and step 12 of 40; lower"):
        run(Regression(), Rows(poison_at=10), tmp_path / "run.pt")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"feature_std": 0.01}, "features have collapsed"),
        ({"feature_std": 0.9, "projection_std": 0.1}, "into a point"),
        ({"feature_std": 0.9, "projection_std": 0.9, "projection_rank": 1.5}, "onto a line"),
        ({"prototypes_used": 1.2}, "prototypes have collapsed: 1.20"),
        ({"feature_std": 0.9, "val_classes": 1.0}, "predicts the same class for every validation image"),
    ],
)
def test_a_run_gone_wrong_is_said(row: dict[str, float], words: str) -> None:
    found = warnings_of([{"feature_std": 1.0, "val_classes": 3.0}, row])
    assert len(found) == 1 and words in found[0]


def test_a_healthy_run_is_not_warned_of() -> None:
    assert warnings_of([{"feature_std": 0.01}, {"feature_std": 0.9, "val_classes": 10.0}]) == []
