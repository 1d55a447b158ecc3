"""Stages side by side, on a small pipeline of shell commands under DVC."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fkt.core.progress import Note
from fkt.jobs import share
from fkt.jobs.forecast import LIGHT, LIGHT_SECONDS, Forecast
from fkt.jobs.processes import said
from fkt.jobs.status import describe, running_repro, trainings
from tests.conftest import wait_until
from tests.toy import Toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def waits_for(name: str) -> str:
    """A command that ends when a file is there, or fails."""
    return f"(for i in $(seq 600); do test -e {name} && exit 0; sleep 0.1; done; exit 1)"


def test_order_overlap_a_second_call_and_the_lock_of_dvc(toy: Toy) -> None:
    """The left and the right stage end only if both run at once."""
    toy.stage("first")
    toy.stage("left", "first", work=f"touch l && {waits_for('r')}")
    toy.stage("right", "first", work=f"touch r && {waits_for('l')}")
    toy.stage("last", "left", "right")
    done = toy.repro(2)
    assert done.returncode == 0, done.stdout + done.stderr
    events = toy.events()
    assert events[:2] == ["first+", "first-"] and events[-2:] == ["last+", "last-"]
    assert set(events[2:4]) == {"left+", "right+"} and set(events[4:6]) == {"left-", "right-"}
    assert (toy.root / "last.txt").read_text().split() == ["last", "left", "first", "right", "first"]
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"last +\d+ s", lines[-2]) and re.fullmatch(r"4 stages run in \d+ s.*", lines[-1])

    locked = (toy.root / "dvc.lock").read_bytes()
    assert toy.repro(2).stdout == "nothing to run: all 4 stages are up to date\n" and toy.events() == []
    assert "up to date" in toy.command(sys.executable, "-m", "dvc", "repro").stdout and toy.events() == []
    assert (toy.root / "dvc.lock").read_bytes() == locked


def test_a_failure_stops_what_depends_on_it_and_no_more(toy: Toy) -> None:
    toy.stage("bad", work="(echo the reason; exit 3)")
    toy.stage("after", "bad")
    toy.stage("good")
    toy.stage("fine", "good")
    done = toy.repro(2)
    assert done.returncode == 1
    assert {event for event in toy.events() if event.endswith("-")} == {"good-", "fine-"}
    assert "failed: bad; not run, because they depend on these: after." in done.stderr
    failure = r"bad failed after \d+ s; the end of .ckpt/logs/{}.log:\n    the reason\n(?!    )"
    assert re.search(failure.format("bad"), done.stdout), "without the lines of DVC"
    assert toy.repro(2, "fine").stdout == "nothing to run: all 2 stages are up to date\n", "a target needs no others"

    done = toy.repro(0)
    assert done.returncode == 1 and re.search(failure.format("repro"), done.stdout) and "failed: bad." in done.stderr


def test_a_job_that_was_killed_says_so(toy: Toy) -> None:
    toy.stage("first", work="kill -9 $PPID")  # DVC is the parent of the shell
    toy.stage("other")
    done = toy.repro(2)
    assert done.returncode == 1 and "failed: first" in done.stderr and "DVC was ended by SIGKILL" in done.stdout
    assert "other-" in toy.events()


def test_one_job_is_a_plain_dvc_repro(toy: Toy) -> None:
    toy.stage("first", work="echo said by first")
    toy.stage("second", "first")
    done = toy.repro(0)
    assert done.returncode == 0 and toy.events() == ["first+", "first-", "second+", "second-"]
    assert re.fullmatch(r"first +\d+ s\nsecond +\d+ s\n2 stages run in \d+ s\n", done.stdout)
    toy.stage("third", "second")
    assert re.fullmatch(r"third +\d+ s\n1 stage run in \d+ s, 2 were up to date\n", toy.repro(0).stdout)
    log = (toy.root / ".ckpt/logs/repro.log").read_text()
    assert "Stage 'first' didn't change" in log and said(log) == ""


@pytest.mark.slow
def test_light_stages_share_a_job_and_a_bad_one_fails_alone(toy: Toy) -> None:
    for name in ("light-a", "light-c"):
        toy.stage(name)
    toy.stage("light-d", "light-a")
    assert toy.repro(2).returncode == 0
    assert "Running stage 'light-d'" in (toy.root / ".ckpt/logs/light-a.log").read_text(), "in one job"
    assert len(toy.events()) == 6
    toy.stage("light-b", work="false")
    (toy.root / "source").write_text("2")
    done = toy.repro(2)
    assert "failed: light-b. " in done.stderr
    assert {event for event in toy.events() if event.endswith("-")} == {"light-a-", "light-c-", "light-d-"}


def test_light_stages_wait_for_those_that_two_others_follow_and_for_no_others(toy: Toy) -> None:
    """With one job at a time, so that the order is that of the schedule."""
    toy.stage("light-a")
    toy.stage("light-b", "light-a")
    for name in ("one", "two"):
        toy.stage(name)
        toy.stage(f"score-{name}", name)
    toy.stage("last", "light-b", "score-one", "score-two")
    assert toy.repro(1).returncode == 0
    began = [event[:-1] for event in toy.events() if event.endswith("+")]
    assert set(began[:2]) == {"one", "two"} and began[2:4] == ["light-a", "light-b"]
    assert set(began[4:6]) == {"score-one", "score-two"} and began[6:] == ["last"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_each_stage_once_and_leaves_no_process(number: signal.Signals, toy: Toy) -> None:
    """The stages take a moment after the signal, as a training does that saves itself."""
    code = (
        "import signal, sys, time; me = sys.argv[1]; count = 0\n"
        "def asked(*_):\n    global count; count += 1\n"
        "signal.signal(signal.SIGINT, asked); open(f'{me}.ready', 'w').close()\n"
        "while not count: time.sleep(0.05)\n"
        "time.sleep(0.5); open(f'{me}.saved', 'w').write(str(count)); sys.exit(1)\n"
    )
    (toy.root / "train.py").write_text(code)
    for name in ("one", "two", "three"):
        toy.stage(name, work=f"python train.py {name}")
    process = toy.start(2)
    wait_until(lambda: len(list(toy.root.glob("*.ready"))) == 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4, "two DVC processes and their stages"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number and errors.startswith("interrupted") and "Traceback" not in errors
    assert [path.read_text() for path in toy.root.glob("*.saved")] == ["1", "1"]
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert len(list(toy.root.glob("*.ready"))) == 2, "no stage starts after the signal"


@pytest.mark.slow
def test_a_stage_that_another_dvc_process_runs_is_tried_again(toy: Toy) -> None:
    toy.stage("slow", work=f"touch busy && {waits_for('go')}")
    toy.stage("other")
    foreign = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "slow"], cwd=toy.root, env=toy.environment, stdout=subprocess.DEVNULL
    )
    wait_until((toy.root / "busy").is_file)
    process = toy.start(2)
    assert process.stdout is not None
    while "slow waits for another DVC process" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    (toy.root / "go").touch()
    assert foreign.wait(60) == 0
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    assert toy.events().count("slow+") == 1


def test_another_process_sees_how_far_the_stages_are(toy: Toy) -> None:
    """The training writes its notes as the training loop does."""
    code = (
        "import os, sys, time; from fkt.core.progress import Note\n"
        "Note(os.environ['DVC_STAGE'], 30, 40, 7.0, 'loss 1.5').write(); open('busy', 'w').close()\n"
        "while not os.path.exists('go'): time.sleep(0.05)\n"
    )
    (toy.root / "train.py").write_text(code)
    toy.stage("first")
    toy.stage("train", "first", work="python train.py")
    toy.stage("last", "train")
    process = toy.start(1)
    wait_until(lambda: "75 %" in str(running_repro(toy.root)))
    state = running_repro(toy.root)
    assert state is not None and re.match(r"\[1/3\] train - 75 % - about \d+ s left in total", state["line"])
    running = trainings(toy.root)
    assert running == ["train - 75 % - loss 1.5 - about 7 s left of this training"]
    said_elsewhere = describe(state, running)
    assert re.search(r"Done:\n  first .*\nTraining now:\n  train - 75.*\nLeft:\n  last\n", said_elsewhere)
    assert state["line"] in said_elsewhere
    (toy.root / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert running_repro(toy.root) is None and trainings(toy.root) == []


def test_the_note_of_a_process_that_was_killed_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    note = Note("train@0", 1, 2, 3.0, pid=ended.pid)
    note.write()
    assert note.path.is_file() and trainings(tmp_path) == [] and not note.path.exists()


def test_the_time_left_follows_the_estimate_then_what_was_seen() -> None:
    forecast = Forecast({"long": 100.0, "short": 10.0}, {"long": 10.0, "short": 1.0, "other": 5.0}, 1)
    kinds = {"a": "long", "b": "long", "c": "short", "d": LIGHT}
    needs: dict[str, set[str]] = {"a": set(), "b": set(), "c": {"a"}, "d": set()}
    assert forecast.left({}, ["a", "b", "c", "d"], needs, kinds, 2) == pytest.approx(110), "a, then c"
    assert forecast.left({"a": 20.0}, ["b", "c"], needs, kinds, 1) == pytest.approx(130)
    forecast.learn("long", 50.0)
    assert forecast.seconds("short") == 5.0, "this machine is twice as fast as estimated"
    assert forecast.seconds("other") == 25.0, "without an estimate, by image passes"
    assert forecast.seconds(LIGHT) == LIGHT_SECONDS
    assert Forecast({}, {"long": 1.0}, 1).left({}, ["a"], needs, kinds, 1) is None, "nothing is known"


def test_jobs_share_the_cores_and_each_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FKT_CORES", "FKT_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(share, "usable_cores", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert share.job_environments(3) == [{"FKT_CORES": "2"}] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert share.job_environments(16) == [{"FKT_CORES": "1"}] * 16, "with one GPU there is nothing to choose"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in share.job_environments(3)] == ["4", "5", "4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, GPU-abc")
    assert share.visible_gpus() == ["1", "GPU-abc"] and share.default_jobs(share.visible_gpus()) == 2
    monkeypatch.setenv("FKT_PROCESSES", "auto")
    assert share.job_environments() == [{"FKT_CORES": "8"}], "one training has all GPUs"
    monkeypatch.delenv("FKT_PROCESSES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert share.visible_gpus() == [] and share.default_jobs([]) == 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    assert share.visible_gpus() == []


def test_gpus_are_listed_by_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("FKT_DEVICE", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert share.visible_gpus() == ["0", "1"]
    (tmp_path / "nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert share.visible_gpus() == []
