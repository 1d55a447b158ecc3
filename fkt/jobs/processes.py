"""DVC as this package uses it: the pipeline as it sees it, its processes, and what they print."""

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fkt.core.errors import UserError

LOGS = Path(".ckpt") / "logs"
"""What the stages print, one file for each job."""
BUSY = re.compile(r"^ERROR: .*(it is being blocked by|Unable to acquire lock)", re.MULTILINE)
"""What DVC says if another DVC process uses the same files."""
NOISE = re.compile(
    r"^(Running stage '.*':|> .*|Updating lock file .*|Generating lock file .*|Use `dvc push` .*|"
    r"To track the changes with git, run:|\tgit add .*|To enable auto staging, run:|\tdvc config .*|"
    r"Stage '.*' didn't change, skipping|ERROR: failed to reproduce .*)$"
)
"""Lines of DVC that tell nothing about what a stage does."""


class Pipeline:
    """The stages that some targets need, as DVC sees them."""

    def __init__(self, targets: Sequence[str], *, raw_changed: bool = True) -> None:
        """targets: as of ``dvc repro``; empty: all. Raises UserError if DVC cannot read the pipeline.

        raw_changed: whether raw files may have changed; if not, the stages that list them need not run.
        """
        from dvc import progress
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        progress.logger.setLevel(logging.CRITICAL)  # no bar for each file that DVC compares
        try:
            self._repo = Repo()
            graph = get_active_graph(self._repo.index.graph)
            order = plan_repro(graph, collect_stages(self._repo, targets or ["dvc.yaml"]))
        except DvcException as error:
            if "dvc.lock'" in str(error):  # DVC was killed while it wrote it
                raise UserError("dvc.lock is damaged; delete it and run again: what DVC's cache has is kept") from error
            raise UserError(f"DVC: {error}") from error
        for stage in order:
            stage.always_changed = stage.always_changed and raw_changed
        self.root = Path(self._repo.root_dir)
        self._stages: dict[str, Any] = {stage.addressing: stage for stage in order}
        self.about = {name.split("@")[0]: stage.desc or "" for name, stage in self._stages.items()}
        """What the stages of each kind do: ``desc`` in dvc.yaml."""
        self.needs = {name: {need.addressing for need in graph.successors(self._stages[name])} for name in self._stages}
        self.behind = dict.fromkeys(self._stages, 0)
        """Number of stages one after another that come after a stage."""
        for name in reversed(self._stages):  # DVC's order: what a stage needs comes before it
            for need in self.needs[name]:
                self.behind[need] = max(self.behind[need], self.behind[name] + 1)
        self.names = sorted(self._stages, key=lambda name: -self.behind[name])

    def is_busy(self) -> bool:
        """Return whether another process holds DVC's lock, for some seconds."""
        from dvc.lock import LockError

        try:
            with self._repo.lock:
                return False
        except LockError:
            return True

    def unchanged(self, names: Collection[str]) -> set[str]:
        """Return those stages that need not run. All that they need must be there.

        Empty if a job holds DVC's lock for some seconds: DVC then finds out when it runs them.
        """
        from dvc.lock import LockError

        with suppress(LockError), self._repo.lock:
            return {name for name in names if not self._stages[name].changed()}
        return set()


@dataclass
class Job:
    """A running ``dvc repro``."""

    names: list[str]
    process: subprocess.Popen[bytes]
    number: int = 0
    """Position among the jobs that run side by side."""
    log: Path = Path(os.devnull)

    def interrupt(self) -> None:
        """Send Ctrl-C to DVC and to the stage that it runs: a training then saves itself."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)


def start_dvc(arguments: Sequence[str], environment: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - of Popen
    """Start DVC in a new process group. The stages run with the same Python as this process."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.Popen(  # noqa: S603 - our own arguments
        command, env={**os.environ, "PATH": path, **environment}, stdin=subprocess.DEVNULL, process_group=0, **options
    )


def said(text: str) -> str:
    """Return what a stage printed, without the lines of DVC around it."""
    return "\n".join(line for line in text.splitlines() if not NOISE.match(line)).strip("\n")
