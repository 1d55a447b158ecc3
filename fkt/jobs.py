"""Stages of a DVC pipeline side by side.

Each is a ``dvc repro --single-item``, so that the locks, the run cache and dvc.lock are left to DVC.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from fkt.core.errors import UserError
from fkt.core.hardware import usable_cores

LOGS = Path(".ckpt") / "logs"
"""What the stages print, one file for each job."""
SHOWN_LINES = 20
"""Lines of the log of a failed stage that are shown."""
MOST_JOBS = 4
"""Largest default of --jobs on a CPU: the training of a large network takes gigabytes of memory."""
POLL_SECONDS, BUSY_SECONDS = 0.05, 1.0
"""Times between two looks at the running jobs, and before a stage is tried again that another process keeps busy."""
BUSY = re.compile(r"^ERROR: .*(it is being blocked by|Unable to acquire lock)", re.MULTILINE)
"""What DVC says if another DVC process uses the same files."""


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that the stages may use, as in CUDA_VISIBLE_DEVICES. torch is not imported."""
    if os.environ.get("FKT_DEVICE", "cuda") != "cuda":  # another device, or a certain GPU
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return []
    return [str(number) for number, line in enumerate(re.findall(r"^GPU \d+:", listed.stdout, re.MULTILINE)) if line]


def default_jobs(gpus: Sequence[str]) -> int:
    """Return one job for each GPU; without a GPU one for each core, at most MOST_JOBS; one on any other device."""
    if gpus:
        return len(gpus)
    return min(usable_cores(), MOST_JOBS) if os.environ.get("FKT_DEVICE", "cpu") == "cpu" else 1


def job_environments(jobs: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Return what the environment of each job has besides that of this process: its share of cores, and its GPU."""
    cores = os.environ.get("FKT_CORES", str(max(1, usable_cores() // jobs)))
    share = [{"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]} if len(gpus) > 1 else {} for job in range(jobs)]
    return [{"FKT_CORES": cores, **gpu} for gpu in share]


class Pipeline:
    """The stages that some targets need, as DVC sees them."""

    def __init__(self, targets: Sequence[str]) -> None:
        """targets: as of ``dvc repro``; empty: all. Raises UserError if DVC cannot read the pipeline."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        try:
            self._repo = Repo()
            graph = get_active_graph(self._repo.index.graph)
            order = plan_repro(graph, collect_stages(self._repo, targets or ["dvc.yaml"]))
        except DvcException as error:
            raise UserError(f"DVC: {error}") from error
        self.root = Path(self._repo.root_dir)
        self._stages: dict[str, Any] = {stage.addressing: stage for stage in order}
        self.needs = {name: {need.addressing for need in graph.successors(self._stages[name])} for name in self._stages}
        self.behind = dict.fromkeys(self._stages, 0)
        """Number of stages one after another that come after a stage."""
        for name in reversed(self._stages):  # DVC's order: what a stage needs comes before it
            for need in self.needs[name]:
                self.behind[need] = max(self.behind[need], self.behind[name] + 1)
        self.names = sorted(self._stages, key=lambda name: -self.behind[name])

    def unchanged(self, names: Sequence[str]) -> set[str]:
        """Return those stages that need not run. All that they need must be there.

        None if a job holds DVC's lock for some seconds: DVC then finds out when it runs them.
        """
        from dvc.lock import LockError

        found: set[str] = set()
        with suppress(LockError), self._repo.lock:
            for name in names:
                if not self._stages[name].changed():
                    found.add(name)
        return found


class StopSignals:
    """Count the signals that ask this process to end, instead of ending."""

    NAMES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        """Handle the signals; only possible in the main thread."""
        self._before = {name: signal.signal(name, self._asked) for name in self.NAMES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the earlier handlers."""
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _asked(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass
class Job:
    """A running ``dvc repro``."""

    names: list[str]
    process: subprocess.Popen[bytes]
    number: int = 0
    """Position among the jobs that run side by side."""
    log: Path = Path(os.devnull)
    began: float = 0.0

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


def repro_alone(targets: Sequence[str]) -> None:
    """Run ``dvc repro``. Raises UserError if it fails, and KeyboardInterrupt after a signal to stop."""
    with StopSignals() as stop:
        job, sent = Job([], start_dvc(["repro", *targets], {})), 0
        while job.process.poll() is None:
            if stop.count > sent:
                job.interrupt()
                sent = stop.count
            time.sleep(POLL_SECONDS)
    if stop.count:
        raise KeyboardInterrupt
    if job.process.returncode:
        raise UserError("dvc repro failed; see above")


def repro_together(
    targets: Sequence[str], environments: Sequence[Mapping[str, str]], is_light: Callable[[str], bool]
) -> None:
    """Run the stages that targets need, one job for each environment at a time.

    is_light: whether a stage takes no time; these share a job, which waits for trainings. Raises UserError if stages
    fail, after all others have run that do not depend on them; KeyboardInterrupt after a signal, when no job is left.
    """
    pipeline = Pipeline(targets)
    with StopSignals() as stop:
        schedule = Schedule(pipeline, environments, is_light)
        sent = 0
        try:
            while schedule.advance(start_more=not stop.count):
                if stop.count > sent:
                    sent = stop.count
                    print("stopping what runs; trainings save themselves", flush=True)
                    for job in schedule.running:
                        job.interrupt()
                time.sleep(POLL_SECONDS)
        finally:
            for job in schedule.running:  # only after an error of this process
                job.interrupt()
                job.process.wait()
    if stop.count:
        raise KeyboardInterrupt
    schedule.report()


class Schedule:
    """Which stages are done, running, waiting and failed."""

    def __init__(
        self, pipeline: Pipeline, environments: Sequence[Mapping[str, str]], is_light: Callable[[str], bool]
    ) -> None:
        self.pipeline, self.environments, self.is_light = pipeline, environments, is_light
        self.waiting = list(pipeline.names)
        self.running: list[Job] = []
        self.done: set[str] = set()
        self.failed: list[str] = []
        self.ran = 0
        self._changed: set[str] = set()  # ready stages that have to run
        self._alone: set[str] = set()  # of a shared job that has failed
        self._paused_until = 0.0

    def advance(self, *, start_more: bool) -> bool:
        """Note what has ended, and start what can start. Return whether there is anything to wait for."""
        for job in [job for job in self.running if job.process.poll() is not None]:
            self.running.remove(job)
            self._finish(job, stopped=not start_more)
        if start_more:
            self._skip_unchanged()
            paused = time.monotonic() < self._paused_until
            while not paused and len(self.running) < len(self.environments) and self._ready():
                self._start(self._next())
            return bool(self.running) or paused
        return bool(self.running)

    def report(self) -> None:
        """Print how many stages ran. Raises UserError if any failed."""
        print(f"{self.ran} stages run, {len(self.done) - self.ran} unchanged", flush=True)
        if self.failed:
            left = f"; not run, because they depend on these: {', '.join(self.waiting)}" if self.waiting else ""
            raise UserError(f"failed: {', '.join(self.failed)}{left}. What a stage printed is in {LOGS}")

    def _ready(self, also: Sequence[str] = ()) -> list[str]:
        """Return the waiting stages whose needs are done, or in ``also``."""
        return [name for name in self.waiting if self.pipeline.needs[name] <= self.done.union(also)]

    def _skip_unchanged(self) -> None:
        """Count ready stages that have nothing to do as done, until only changed ones are ready."""
        while unknown := [name for name in self._ready() if name not in self._changed]:
            unchanged = self.pipeline.unchanged(unknown)
            self._changed.update(set(unknown) - unchanged)
            self.done.update(unchanged)
            self.waiting = [name for name in self.waiting if name not in unchanged]

    def _next(self) -> list[str]:
        """Return the names of the next job: one stage, or all light ones that can run one after another.

        The light ones wait for trainings, which have two stages or more behind them, and not for scores.
        """
        ready = self._ready()
        names, heavy = ([name for name in ready if self._shares(name) is light][:1] for light in (True, False))
        if heavy and (not names or self.pipeline.behind[heavy[0]] > 1):
            return heavy
        while more := [name for name in self._ready(names) if name not in names and self._shares(name)]:
            names += more
        return names

    def _shares(self, name: str) -> bool:
        return name not in self._alone and self.is_light(name)

    def _start(self, names: list[str]) -> None:
        number = min(set(range(len(self.environments))) - {job.number for job in self.running})
        log = self.pipeline.root / LOGS / (re.sub(r"[^\w@.-]", "_", names[0]) + ".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            process = start_dvc(
                ["--wait-for-lock", "repro", "--single-item", *names],
                self.environments[number],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.running.append(Job(names, process, number, log, time.monotonic()))
        self.waiting = [name for name in self.waiting if name not in names]
        self._say(names, "started")

    def _finish(self, job: Job, *, stopped: bool) -> None:
        text = job.log.read_text(encoding="utf-8", errors="replace")
        seconds = f"{time.monotonic() - job.began:.0f} s"
        if job.process.returncode == 0:
            self.done.update(job.names)
            self.ran += len(job.names)
            self._say(job.names, f"done in {seconds}")
        elif stopped:
            self._say(job.names, f"stopped after {seconds}")
        elif len(job.names) > 1 or BUSY.search(text):
            self.waiting = [*job.names, *self.waiting]
            if len(job.names) > 1:
                self._alone.update(job.names)
            else:
                self._say(job.names, "waits for another DVC process")
                self._paused_until = time.monotonic() + BUSY_SECONDS
        else:
            self.failed += job.names
            self._say(job.names, f"failed after {seconds}; the end of {os.path.relpath(job.log)}:")
            print("\n".join(f"    {line}" for line in text.splitlines()[-SHOWN_LINES:]), flush=True)

    def _say(self, names: Sequence[str], what: str) -> None:
        total = len(self.pipeline.names)
        others = f" and {len(names) - 1} more without work" if len(names) > 1 else ""
        print(f"[{len(self.done) + len(self.failed):{len(str(total))}}/{total}] {names[0]}{others} {what}", flush=True)
