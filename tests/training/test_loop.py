"""The loop: it learns, it stops and goes on exactly, it keeps what it is told to, and it notices what goes wrong."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
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


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "cut": lambda good: good[: len(good) // 2],
    "zeros": lambda good: bytes(len(good)),
    "text": lambda good: b"not a save\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_save_is_set_aside_and_the_one_before_it_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
) -> None:
    save_often(monkeypatch)
    whole, parts, path = Regression(), Regression(), tmp_path / "run.pt"
    run(whole, Rows(), tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), Rows(stop_at=22), path)
    path.write_bytes(damage(path.read_bytes()))
    run(parts, Rows(), path)
    said = capsys.readouterr().out
    assert f"note: {path} is not used: it is damaged" in said and "resuming from step 21, saved in" in said
    assert torch.equal(whole.layer.weight, parts.layer.weight) and len(parts.progress) == 19
    assert (tmp_path / "run.pt.unused").is_file()


def test_without_an_intact_save_the_training_starts_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = Regression()
    for name in ("run.pt", "run.pt.previous"):
        (tmp_path / name).write_bytes(b"")
    run(parts, Rows(), tmp_path / "run.pt")
    assert "no earlier save can be used; the training starts again" in capsys.readouterr().out
    assert len(parts.progress) == 40


def saved(path: Path, step: int = 7) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Save a run with some state in its optimizer."""
    torch.manual_seed(step)
    module = nn.Linear(7, 5)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.ones(1, 7)).sum().backward()
    optimizer.step()
    assert Resume(path).save(module, optimizer, State(step=step, sums={"total": torch.ones(())}))
    return module, optimizer


def test_no_flipped_bit_is_trained_on(tmp_path: Path) -> None:
    """Whatever bit of the file is flipped, the file is set aside or holds the same state."""
    path, random = tmp_path / "run.pt", torch.Generator().manual_seed(0)
    module, optimizer = saved(path)
    good, expected = path.read_bytes(), (module.state_dict(), optimizer.state_dict())
    rejected = 0
    for bit in torch.randint(8 * len(good), (200,), generator=random).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        module, optimizer = nn.Linear(7, 5), torch.optim.Adam(nn.Linear(7, 5).parameters())
        if Resume(path).load(module, optimizer).step == 0:
            rejected += 1
        else:
            torch.testing.assert_close((module.state_dict(), optimizer.state_dict()), expected, rtol=0, atol=0)
    assert rejected > 50


def test_a_save_of_another_run_under_this_name_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, optimizer = saved(tmp_path / "joint-functional-1-aaaa.pt")
    (tmp_path / "joint-functional-1-aaaa.pt").rename(tmp_path / "joint-functional-0-aaaa.pt")
    assert Resume(tmp_path / "joint-functional-0-aaaa.pt").load(module, optimizer).step == 0
    assert "it is of another run" in capsys.readouterr().out


def test_a_full_disk_is_a_warning_and_keeps_the_save_before(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.pt"
    module, optimizer = saved(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert not Resume(path).save(module, optimizer, State(step=8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "warning: the training goes on, but is not saved: " in capfd.readouterr().out
    assert list(tmp_path.iterdir()) == [path] and Resume(path).load(module, optimizer).step == 7


def test_saves_take_under_one_percent_of_a_run_and_leave_less_than_half_of_a_minute_unsaved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of our own: steps of 0.1 s, and saves that cost what they are told to cost."""
    for seconds, cost in ((60, 0.01), (60, 0.5), (3600, 0.01), (3600, 0.5), (3600, 3.0)):
        clock = [0.0]
        monkeypatch.setattr("time.monotonic", lambda clock=clock: clock[0])

        def write(*_: object, clock: list[float] = clock, cost: float = cost) -> None:
            clock[0] += cost

        monkeypatch.setattr("torch.save", write)
        resume, module = Resume(tmp_path / "run.pt"), nn.Linear(1, 1)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        steps, last, unsaved, saves = 10 * seconds, 0, 0, 0
        for step in range(1, steps + 1):
            clock[0] += 0.1
            unsaved = max(unsaved, step - last)
            if resume.due(step, steps):
                resume.save(module, optimizer, State(step=step))
                last, saves = step, saves + 1
        assert saves * cost < 0.01 * seconds or seconds == 60 and saves == 2
        assert unsaved < steps / 2 if seconds == 60 else unsaved <= max(5.1, 151 * cost) * 10


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
