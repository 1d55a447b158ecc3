"""Signals end a process with one line and the conventional status; of two processes, one runs a stage."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fkt.core.errors import UserError, enough_memory
from fkt.core.stopping import stop_signals
from tests.conftest import ROOT, make_environment, wait_until

STAGE = """
import sys, time
from pathlib import Path
from fkt.core.errors import reported
from fkt.core.stopping import Stopped, StopSignals, prepare_to_stop
prepare_to_stop()
name = sys.argv[1]
with reported(), StopSignals(twice_ends=True) as stop:
    Path(name + ".began").touch()
    while stop.number is None and not Path(name + ".end").exists():
        time.sleep(0.02)
    if stop.number:
        Path(name + ".stopped").touch()
        raise Stopped(stop.number, "saved")
"""
"""A stage that runs until it is told to end."""


def start(folder: Path, name: str, code: str = STAGE) -> "subprocess.Popen[str]":
    environment = {**make_environment(), "PYTHONPATH": str(ROOT), "DVC_STAGE": "toy@0"}
    command = [sys.executable, "-c", code, name]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_signal_ends_a_stage_with_one_line_and_its_status(tmp_path: Path, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    process = start(tmp_path, "a")
    wait_until((tmp_path / "a.began").exists)
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == f"interrupted by SIG{name} (saved); finished stages are kept\n"
    assert process.returncode == 128 + number


def test_a_stage_waits_for_a_process_that_still_runs_it_and_not_for_a_dead_one(tmp_path: Path) -> None:
    first = start(tmp_path, "a")
    wait_until((tmp_path / "a.began").exists)
    second = start(tmp_path, "b")
    assert second.stdout is not None
    assert second.stdout.readline() == f"toy@0: waiting for process {first.pid}, which still runs this stage here\n"
    assert not (tmp_path / "b.began").exists()
    first.kill()
    wait_until((tmp_path / "b.began").exists)
    (tmp_path / "b.end").touch()
    assert second.wait(60) == 0
    first.communicate(timeout=60), second.communicate(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_stage_ends_when_dvc_has_died(tmp_path: Path) -> None:
    dvc = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAGE!r}, 'a'])"
    process = start(tmp_path, "a", dvc)
    wait_until((tmp_path / "a.began").exists)
    process.kill()
    wait_until((tmp_path / "a.stopped").exists)
    process.communicate(timeout=60)


@pytest.mark.usefixtures("usual_signals")
def test_ctrl_c_during_imports_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("open('a.began', 'w').close()\nimport time\ntime.sleep(30)\n")
    process = start(tmp_path, "a", "import stages\nimport slow")
    wait_until((tmp_path / "a.began").exists)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "interrupted\n" and process.returncode == -signal.SIGINT


def test_the_early_signal_of_a_scheduler_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FKT_SIGNAL", "usr1")
    assert stop_signals()[-1] == signal.SIGUSR1
    monkeypatch.setenv("FKT_SIGNAL", "KILL")
    with pytest.raises(UserError, match="FKT_SIGNAL: 'KILL' is not a signal that can be handled; choose one such as"):
        stop_signals()


def test_a_process_that_ignores_a_closed_terminal_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert signal.SIGHUP not in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (MemoryError("Unable to allocate 3.64 TiB for an array"), " (unable to allocate 3.64 TiB)"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0"), " (tried to allocate 20.00 MiB)"),
        (RuntimeError("can't allocate memory: you tried to allocate 40 bytes."), " (tried to allocate 40 bytes)"),
        (OSError(12, "Cannot allocate memory"), ""),
    ],
)
def test_a_lack_of_memory_names_the_parameter(error: Exception, details: str) -> None:
    message = re.escape(f"joint: not enough memory{details}; lower joint.batch_size")
    with pytest.raises(UserError, match=message), enough_memory("joint", "joint.batch_size"):
        raise error
    with pytest.raises(RuntimeError, match="another"), enough_memory("joint", "joint.batch_size"):
        raise RuntimeError("another")
