"""A training stage in several processes, by its command: how it ends, and how it is resumed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fkt.core.runs import Run
from tests.conftest import ROOT, make_environment
from tests.stages.running import Write, cost_of

COMMAND = (sys.executable, "-m", "stages.joint", "functional", "0")


def start(**environment: str) -> subprocess.Popen[str]:
    environment = make_environment() | {"FKT_DEVICE": "cpu", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def started(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """Wait until the training takes steps. Return its processes by their ranks."""
    notes = Path(".ckpt/progress")
    while not (children := [child for child in psutil.Process(process.pid).children() if "-u" in child.cmdline()]) or (
        not any((notes / f"{child.pid}.json").is_file() for child in children)
    ):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    return {child.environ()["RANK"]: child for child in children}


@pytest.mark.slow
def test_two_processes_end_together_and_one_resumes_their_run(prepared: Write) -> None:
    modes = ["supervised", "functional"]
    prepared({"prepare": {"limit_per_class": 20}, "modes": modes, "budget": {"passes": 400}})

    interrupted = start(FKT_PROCESSES="2")
    started(interrupted)
    interrupted.send_signal(signal.SIGINT)
    said = interrupted.communicate(timeout=60)[0]
    assert interrupted.returncode != 0 and "interrupted (saved after step" in said and "Traceback" not in said

    broken = start(FKT_PROCESSES="2")
    started(broken)["1"].kill()
    said = broken.communicate(timeout=60)[0]
    assert broken.returncode == 1 and "resuming from step" in said and "Traceback" not in said
    assert said.endswith(
        "error: process 1 was ended by SIGKILL; all have stopped; run the same command again to resume\n"
    )

    orphaned = start(FKT_PROCESSES="2")
    children = started(orphaned)
    orphaned.kill()
    orphaned.communicate()
    psutil.wait_procs(children.values(), timeout=60)
    assert not any(child.is_running() for child in children.values())

    finished = start()
    said = finished.communicate(timeout=300)[0]
    assert finished.returncode == 0 and "resuming from step" in said, said
    assert cost_of(Run("digits", "functional", 0))["processes"] == 1


def test_a_batch_that_does_not_divide_is_one_line(prepared: Write) -> None:
    prepared({"prepare": {"limit_per_class": 10}})
    process = start(FKT_PROCESSES="3")
    last = process.communicate(timeout=100)[0].splitlines()[1:]
    assert len(last) == 1 and last[0].startswith("error: batch_size: 3 processes cannot share 16 images")
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FKT_PROCESSES": "none"}, "FKT_PROCESSES: 'none' is not a whole number from 1"),
        ({"FKT_PROCESSES": "2", "FKT_DEVICE": "cuda:1"}, "FKT_DEVICE: 'cuda:1' is for one process"),
        ({"FKT_NODES": "2"}, "FKT_RENDEZVOUS: '' is no host:port, which FKT_NODES=2 needs"),
        ({"FKT_NODES": "2", "FKT_RENDEZVOUS": "x.invalid:1"}, "FKT_RENDEZVOUS: 'x.invalid:1' cannot be reached"),
    ],
)
def test_a_wrong_setting_is_one_line(environment: dict[str, str], message: str, write_params: Write) -> None:
    write_params({})
    process = start(**environment)
    said = process.communicate(timeout=100)[0]
    assert process.returncode == 1 and said.startswith(f"error: {message}") and said.count("\n") == 1
