"""Stages of a DVC pipeline side by side.

Each is a ``dvc repro --single-item``, so that the locks, the run cache and dvc.lock are left to DVC.
"""

import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from fkt.core.errors import UserError
from fkt.core.stopping import Stopped, StopSignals
from fkt.jobs.processes import BUSY, LOGS, Job, start_dvc
from fkt.jobs.watch import Watch, title

POLL_SECONDS, BUSY_SECONDS = 0.05, 1.0
"""Times between two looks at the running jobs, and before a stage is tried again that another process keeps busy."""


def repro_together(watch: Watch, environments: Sequence[Mapping[str, str]]) -> None:
    """Run the stages of a pipeline, one job for each environment at a time.

    Stages that take no time share a job, which waits for trainings. Raises UserError if stages fail, after all others
    have run that do not depend on them; Stopped after a signal, when no job is left.
    """
    with StopSignals(twice_ends=False) as stop:
        schedule = Schedule(watch, environments)
        sent = 0
        try:
            while schedule.advance(start_more=not stop.count):
                if stop.count > sent:
                    sent = stop.count
                    watch.screen.say("stopping what runs; trainings save themselves")
                    for job in schedule.running:
                        job.interrupt()
                watch.beat()
                time.sleep(POLL_SECONDS)
        finally:
            watch.close()
            for job in schedule.running:  # only after an error of this process
                job.interrupt()
                job.process.wait()
    if stop.number is not None:
        raise Stopped(stop.number)
    schedule.check()


class Schedule:
    """Which stages are done, running, waiting and failed."""

    def __init__(self, watch: Watch, environments: Sequence[Mapping[str, str]]) -> None:
        self.watch, self.pipeline, self.environments = watch, watch.pipeline, environments
        self.waiting = list(self.pipeline.names)
        self.running: list[Job] = []
        self.done: set[str] = set()
        self.failed: list[str] = []
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

    def check(self) -> None:
        """Raise UserError if a stage has failed."""
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
            self.watch.skips(unchanged)
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
        return name not in self._alone and self.watch.is_light(name)

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
        self.running.append(Job(names, process, number, log))
        self.waiting = [name for name in self.waiting if name not in names]
        self.watch.starts(names)

    def _finish(self, job: Job, *, stopped: bool) -> None:
        text = job.log.read_text(encoding="utf-8", errors="replace")
        if job.process.returncode == 0:
            self.done.update(job.names)
            self.watch.ends(job.names)
        elif stopped:
            self.watch.stops(job.names)
        elif len(job.names) > 1 or BUSY.search(text):
            self.watch.stops(job.names)
            self.waiting = [*job.names, *self.waiting]
            if len(job.names) > 1:
                self._alone.update(job.names)
            else:
                self.watch.screen.say(f"{title(job.names[0])} waits for another DVC process")
                self._paused_until = time.monotonic() + BUSY_SECONDS
        else:
            self.failed += job.names
            if (code := job.process.returncode) < 0:
                text += f"\nDVC was ended by {signal.Signals(-code).name}"
            self.watch.fails(job.names[0], job.log, text)
