"""Saves of unfinished runs: exact, checked, and cheap."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fkt.training.resume import Resume, State, fingerprint
from tests.training.test_loop import Regression, Rows, run, save_often

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
