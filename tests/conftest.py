"""What every test runs under: no display, no network, one thread; and a copy of the project for end-to-end tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""For the tests of pages; None if there is none."""
CODE = ("fkt", "stages", "presets", "sweeps", "params.yaml", "tuning.yaml", "dvc.yaml", ".dvcignore", ".gitignore")

os.environ["MPLBACKEND"] = "Agg"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; small networks gain nothing from a second


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, so that it does not run alone at the end; skip tests marked gpu without a GPU."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no GPU here"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail that would leave the machine; sockets to the machine itself stay."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost")
        if not local:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    def refused(self: socket.socket, address: Any) -> NoReturn:
        raise AssertionError(f"a test tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Heed Ctrl-C and a closed terminal, here and in processes that the test starts, though nohup and & ignore them."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.getsignal(number) for number in usual}
    for number in usual:
        if before[number] == signal.SIG_IGN:
            signal.signal(number, usual[number])
    yield
    for number in usual:
        signal.signal(number, before[number])


def make_environment() -> dict[str, str]:
    """What a command runs under that a test starts: this Python, one thread, and nothing of the user's settings."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FKT_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()},
    }
    asked = ("FKT_CORES", "FKT_DEVICE", "FKT_NODES", "FKT_PRECISION", "FKT_PROCESSES", "FKT_WORKERS")
    for name in ("DVC_ROOT", "DVC_STAGE", *asked):
        environment.pop(name, None)
    return environment


def wait_until(condition: Callable[[], object]) -> None:
    """Return when the condition is true; fail after a minute."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("did not happen within a minute")


class Project:
    """A copy of the project in a folder of its own, under git and DVC, without raw data or results."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = make_environment()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's root; with ``check``, fail with its output where it fails."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``python -m ...`` in the project."""
        return self.run(sys.executable, "-m", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run dvc in the project."""
        return self.python("dvc", *arguments, check=check)

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


IDENTITY = {"NAME": "Test", "EMAIL": "test@example.org"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project's code, params.yaml, dvc.yaml and presets in a fresh repository with one commit."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def project_factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """For tests that share one project: a module-scoped fixture calls this once."""
    return lambda: make_project(tmp_path_factory.mktemp("project") / "project")


def make_project(root: Path) -> Project:
    """Copy the project to a folder that does not exist yet."""
    root.mkdir()
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
        else:
            shutil.copy(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots")
    made = Project(root)
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    made.commit("start")
    return made
