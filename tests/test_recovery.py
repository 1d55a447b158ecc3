"""What docs/recovery.md tells to type after a kill of DVC's experiments, on a pipeline of one small stage."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import wait_until
from tests.toy import Toy

pytestmark = pytest.mark.slow
WORK = "touch $DVC_ROOT/began && while test -e $DVC_ROOT/hold; do sleep 0.1; done && cp params.yaml out"
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture
def project(tmp_path: Path) -> Toy:
    """A repository with one commit, whose stage runs as long as there is a file ``hold``."""
    toy = Toy(tmp_path)
    (tmp_path / "params.yaml").write_text("x: 1\n")
    stage = {"cmd": WORK, "params": ["x"], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"work": stage}}))
    (tmp_path / ".gitignore").write_text("/out\nbegan\nhold\n")
    toy.command(*DVC, "repro")
    toy.command("git", "checkout", "-q", "-b", "main")
    toy.command("git", "add", "-A")
    toy.command("git", "commit", "-qm", "first")
    (tmp_path / "began").unlink()
    (tmp_path / "hold").touch()
    return toy


def kill(process: psutil.Process) -> None:
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def killed_and_run_again(project: Toy, *command: str) -> None:
    """Kill a command and all that it started while the stage runs, then type it again."""
    process = subprocess.Popen([*DVC, *command], cwd=project.root, env=project.environment, stdout=-3, stderr=-3)
    wait_until((project.root / "began").exists)
    kill(psutil.Process(process.pid))
    process.wait()
    (project.root / "hold").unlink()
    again = project.command(*DVC, *command)
    assert again.returncode == 0, again.stderr


def rows(project: Toy) -> int:
    """The number of experiments that DVC takes for running."""
    shown = project.command(*DVC, "exp", "show", "--md").stdout
    assert "workspace" in shown
    return shown.count("| Running")


@pytest.mark.parametrize("length", [0, 30], ids=["empty", "cut"])
def test_a_lock_file_that_dvc_has_not_finished(project: Toy, length: int) -> None:
    lock = project.root / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:length])
    failed = project.repro(0)
    assert failed.returncode == 1 and failed.stderr.startswith("error: dvc.lock is damaged; delete it and run again")
    assert "dvc.lock'" in project.command(*DVC, "repro").stderr, "docs/recovery.md quotes it"
    lock.unlink()
    (project.root / "out").unlink()
    done = project.command(*DVC, "repro")
    assert "is cached - skipping run" in done.stdout and not (project.root / "began").exists()
    assert (project.root / "out").exists()


def test_a_killed_experiment(project: Toy) -> None:
    killed_and_run_again(project, "exp", "run", "-S", "x=2")
    assert project.command("git", "branch", "--show-current").stdout == "", "HEAD is detached"
    project.command("git", "checkout", "main")
    assert project.command("git", "branch", "--show-current").stdout == "main\n"
    assert (project.root / "params.yaml").read_text() == (project.root / "out").read_text() == "x: 2\n"
    project.command("git", "checkout", ".")
    project.command(*DVC, "checkout")
    assert (project.root / "params.yaml").read_text() == (project.root / "out").read_text() == "x: 1\n"


def test_a_killed_experiment_in_a_temporary_folder(project: Toy) -> None:
    killed_and_run_again(project, "exp", "run", "--temp", "-S", "x=2")
    assert rows(project) == 1
    project.command("rm", "-rf", ".dvc/tmp/exps")
    assert rows(project) == 0 and project.command(*DVC, "exp", "list").stdout.count("[") == 1


def test_a_killed_worker_of_the_queue(project: Toy) -> None:
    queue = [*DVC, "exp", "run", "--queue", "--name", "mine", "-S", "x=2"]
    project.command(*queue)
    start = [*DVC, "queue", "start"]
    subprocess.run(start, cwd=project.root, env=project.environment, stdin=-3, stdout=-3, stderr=-3, check=True)
    wait_until((project.root / "began").exists)
    stages = [one for one in psutil.process_iter(["environ"]) if _root(one) == str(project.root)]
    workers = {parent for one in stages for parent in [one, *one.parents()] if _works_in(parent, project.root)}
    for one in workers:
        one.kill()
    (project.root / "hold").unlink()
    assert "Running" in project.command(*DVC, "queue", "status").stdout
    for command in (["queue", "kill", "mine"], ["queue", "remove", "mine"]):
        project.command(*DVC, *command)
    project.command(*queue)
    subprocess.run(start, cwd=project.root, env=project.environment, stdin=-3, stdout=-3, stderr=-3, check=True)
    wait_until(lambda: "[mine]" in project.command(*DVC, "exp", "list").stdout)
    assert "Running" not in project.command(*DVC, "queue", "status").stdout


def _root(process: psutil.Process) -> str | None:
    return (process.info["environ"] or {}).get("DVC_ROOT")


def _works_in(process: psutil.Process, root: Path) -> bool:
    """Whether a process was started in the project: its DVC processes and stages, and no shell of the machine."""
    try:
        return Path(process.cwd()).is_relative_to(root)
    except psutil.Error:
        return False
