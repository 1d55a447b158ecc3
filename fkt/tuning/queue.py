"""Trials as experiments in DVC's queue: restricted to the training stages, so that no test image is opened."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

from fkt.core.arms import NETWORKS
from fkt.core.errors import UserError
from fkt.core.hardware import usable_cores
from fkt.core.runs import Run
from fkt.sweeps.experiments import command, dvc
from fkt.sweeps.spec import Settings
from fkt.tuning.trials import Score, Trial

WAITING, FAILED = ("Queued", "Running"), "Failed"
POLL, CHECK = 1.0, 15.0
"""Seconds between two looks at git, and between two looks at the queue."""
STALLED = 8
"""Looks at the queue without an active worker after which it has stopped."""


def finished() -> dict[str, str]:
    """Return the commits of all finished trials by name, whatever commit they started from."""
    found = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps"],  # noqa: S607
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    pairs = [(line.rsplit("/", 1)[-1], line.split(" ", 1)[0]) for line in found.splitlines()]
    return {name: commit for name, commit in pairs if name.startswith("tune-")}


def states() -> tuple[dict[str, str], bool]:
    """Return the states of all trials in DVC's queue by name, and whether a worker is active."""
    text = dvc("queue", "status")
    rows = re.findall(r"^\w+ +(tune-\S+) .* (\w+) *$", text, re.MULTILINE)
    return dict(reversed(rows)), not re.search(r"Worker status: 0 active", text)


def queue(trials: Iterable[Trial], now: Settings) -> None:
    """Queue trials over the params.yaml ``now``, each for the stage that trains its arm."""
    for trial in trials:
        dvc(*command(trial.cell, now), NETWORKS[trial.arm].stage)


def start_workers(jobs: int) -> None:
    """Start workers that outlive this process. Each may use its share of the cores, unless FKT_CORES is set."""
    environment = {"FKT_CORES": str(max(1, usable_cores() // jobs)), **os.environ} if jobs > 1 else None
    subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "dvc", "queue", "start", "-j", str(jobs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the workers
        stderr=subprocess.DEVNULL,
        env=environment,
        check=True,
        start_new_session=True,  # Ctrl-C stops the waiting, not the workers
    )


def wait(names: Sequence[str], about: str) -> set[str]:
    """Wait until every named trial has finished or failed, with one line of progress; return those that failed.

    Raise UserError if the workers have ended or a trial has been removed from the queue.
    """
    began, looked, stalled = time.monotonic(), -CHECK, 0
    failed: set[str] = set()
    missing: set[str] = set()
    while waiting := set(names) - finished().keys() - failed:
        _progress(f"{about}: {len(names) - len(waiting)} of {len(names)} trials, {time.monotonic() - began:.0f} s")
        time.sleep(POLL)
        if time.monotonic() - looked < CHECK:
            continue
        found, active = states()
        looked, stalled = time.monotonic(), 0 if active else stalled + 1
        failed |= {name for name in waiting if found.get(name) == FAILED}
        before, missing = missing, {name for name in waiting if found.get(name) not in WAITING}
        # Twice, because DVC takes a moment from a task's end to its commit, and from the queue to its start.
        lost = (missing & before) - finished().keys() - failed
        if lost:
            raise UserError(f"no longer in DVC's queue: {', '.join(sorted(lost))}; run 'fkt tune' again to queue them")
        if stalled > STALLED:
            raise UserError(
                "DVC's queue has trials and no worker. Run 'fkt tune' again; if 'dvc queue status' shows trials as "
                "running then too, delete DVC's temporary folder of experiments (finished experiments are kept)"
            )
    _progress(f"{about}: {len(names)} trials, {time.monotonic() - began:.0f} s\n")
    return failed


def read_score(trial: Trial, commit: str, dataset: str, seeds: Sequence[int]) -> Score:
    """Read the validation scores of a finished trial from DVC's cache, without checking it out."""
    import pandas as pd
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(".", rev=commit)
    accuracy, loss = [], []
    for run in (Run(dataset, trial.arm, seed) for seed in seeds):
        try:
            kept = json.loads(files.read_text((run.log / "cost.json").as_posix()))["kept_step"]
            curve = pd.read_csv(io.StringIO(files.read_text((run.log / "curve.csv").as_posix())), index_col="step")
        except OSError as error:
            raise UserError(
                f"the results of {trial.cell.name} are not in DVC's cache ({error}); remove it with "
                f"'dvc exp remove {trial.cell.name}' and run 'fkt tune' again"
            ) from error
        accuracy.append(float(curve.loc[kept, "val_accuracy"]))
        loss.append(float(curve.loc[kept, "val_loss"]))
    return Score(tuple(accuracy), tuple(loss))


def _progress(text: str) -> None:
    """Show a line: on a terminal over the one before, otherwise only when it is complete."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
    elif text.endswith("\n"):
        print(text, end="", file=sys.stderr, flush=True)
