"""One stage after another: a plain ``dvc repro``, whose output says how far it is."""

import re
import subprocess
import time
from collections.abc import Sequence
from typing import BinaryIO

from fkt.core.errors import UserError
from fkt.core.stopping import Stopped, StopSignals
from fkt.jobs.processes import LOGS, Job, start_dvc
from fkt.jobs.schedule import POLL_SECONDS
from fkt.jobs.watch import Watch

EVENT = re.compile(r"^(?:Running stage '(?P<runs>.+)':|Stage '(?P<skipped>.+)' (?:didn't change|is cached).*)$")
"""Lines of DVC that name a stage that begins, or one that need not run."""


def repro_alone(watch: Watch, targets: Sequence[str]) -> None:
    """Run ``dvc repro``. Raises UserError if it fails, and Stopped after a signal to stop."""
    log = watch.pipeline.root / LOGS / "repro.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with StopSignals(twice_ends=False) as stop, log.open("wb") as file, log.open("rb") as reader:
        job, sent, begins = Job([], start_dvc(["repro", *targets], {}, stdout=file, stderr=subprocess.STDOUT)), 0, 0
        try:
            while job.process.poll() is None:
                if stop.count > sent:
                    sent = stop.count
                    watch.screen.say("stopping what runs; trainings save themselves")
                    job.interrupt()
                begins = _follow(watch, reader, begins)
                watch.beat()
                time.sleep(POLL_SECONDS)
            begins = _follow(watch, reader, begins)
        finally:
            watch.close()
            if job.process.poll() is None:  # only after an error of this process
                job.interrupt()
                job.process.wait()
    if stop.number is not None:
        raise Stopped(stop.number)
    if job.process.returncode:
        text = log.read_bytes()[begins:].decode("utf-8", errors="replace")
        for name in list(watch.running):
            watch.fails(name, log, text)
        failed = ", ".join(watch.failed) or text.strip() or "dvc repro"
        raise UserError(f"failed: {failed}. What the stages printed is in {LOGS / log.name}")
    watch.ends(list(watch.running))


def _follow(watch: Watch, reader: BinaryIO, begins: int) -> int:
    """Note what the new lines of the log say. Return where the output of the last stage begins."""
    while True:
        at, line = reader.tell(), reader.readline()
        if not line.endswith(b"\n"):  # not complete yet
            reader.seek(at)
            return begins
        found = EVENT.match(line.decode("utf-8", errors="replace").rstrip())
        if found is None or (name := found["runs"] or found["skipped"]) not in watch.kinds:
            continue
        watch.ends(list(watch.running))
        if found["runs"]:
            begins = at
            watch.starts([name])
        else:
            watch.skips([name])
