"""The loop: it learns, it stops and goes on exactly, it keeps what it is told to, and it notices what goes wrong."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from fkt.core.errors import Diverged, UserError
from fkt.training.base import Objective
from fkt.training.budget import Length
from fkt.training.loop import Fitted, fit
from fkt.training.monitor import Validate, warnings_of
from fkt.training.resume import Resume, State, fingerprint
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

    def __init__(self, stop_at: int | None = None, poison_at: int | None = None, signal_at: int | None = None) -> None:
        self.stop_at, self.poison_at, self.signal_at = stop_at, poison_at, signal_at

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        for step in range(start, stop):
            if step == self.stop_at:
                raise KeyboardInterrupt
            if step == self.signal_at:
                os.kill(os.getpid(), signal.SIGINT)
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
    monkeypatch.setattr("fkt.training.resume.SAVE_SECONDS", 0.0)
    whole, parts = Regression(), Regression()
    expected = run(whole, Rows(), tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), Rows(stop_at=22), tmp_path / "parts.pt")
    fitted = run(parts, Rows(), tmp_path / "parts.pt")
    assert torch.equal(whole.layer.weight, parts.layer.weight)
    assert fitted.rows == expected.rows
    assert len(parts.progress) == 18, "the steps before the last save are not done again"


def test_ctrl_c_saves_after_the_step_it_came_in_and_the_next_run_goes_on_from_there(tmp_path: Path) -> None:
    whole, parts = Regression(), Regression()
    expected = run(whole, Rows(), tmp_path / "whole.pt")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="saved after step 22 of 40"):
        run(Regression(), Rows(signal_at=21), tmp_path / "parts.pt")
    assert signal.getsignal(signal.SIGINT) is before
    fitted = run(parts, Rows(), tmp_path / "parts.pt")
    assert torch.equal(whole.layer.weight, parts.layer.weight)
    assert fitted.rows == expected.rows and len(parts.progress) == 18


def test_a_finished_run_that_dvc_lost_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fkt.training.resume.SAVE_SECONDS", 0.0)
    first, again = Regression(), Regression()
    fitted = run(first, Rows(), tmp_path / "run.pt")
    assert run(again, Rows(stop_at=0), tmp_path / "run.pt").rows == fitted.rows
    assert torch.equal(first.layer.weight, again.layer.weight)


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


def test_two_processes_that_train_the_same_run_save_it_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, module = tmp_path / "run.pt", nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    save, saved = torch.save, []

    def interleaved(content: object, file: Path) -> None:
        save(content, file)
        saved.append(file)
        if len(saved) == 1:
            monkeypatch.setattr("os.getpid", lambda: 2)
            Resume(path).save(module, optimizer, State(step=2))

    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr("torch.save", interleaved)
    Resume(path).save(module, optimizer, State(step=1))
    assert len(set(saved)) == 2 and list(tmp_path.iterdir()) == [path]
    assert Resume(path).load(module, optimizer).step == 1


def test_an_unfinished_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(
        UserError, match=r"run\.pt: the unfinished run cannot be read .*; delete the file to start the run again"
    ):
        run(Regression(), Rows(), path)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"test: total became nan between step 9 and step 12 of 40; lower"):
        run(Regression(), Rows(poison_at=10), tmp_path / "run.pt")


def test_the_fingerprint_tells_runs_apart() -> None:
    assert fingerprint(params={"a": 1}) == fingerprint(params={"a": 1}) != fingerprint(params={"a": 2})


def test_a_run_that_does_not_fit_an_unfinished_one_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "joint-functional-0-aaaa.pt").write_bytes(b"")
    (tmp_path / "joint-functional-1-aaaa.pt").write_bytes(b"")
    run(Regression(), Rows(), tmp_path / "joint-functional-0-bbbb.pt")
    said = capsys.readouterr().out
    assert "not resumed: " in said and "joint-functional-0-aaaa.pt" in said and "functional-1" not in said


def test_old_unfinished_runs_are_removed_and_recent_ones_kept(tmp_path: Path) -> None:
    for name, age in (("old.pt", 15 * 86400), ("recent.pt", 60)):
        (tmp_path / name).write_bytes(b"")
        stat = (tmp_path / name).stat()
        os.utime(tmp_path / name, (stat.st_atime - age, stat.st_mtime - age))
    run(Regression(), Rows(), tmp_path / "run.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"recent.pt"}


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
