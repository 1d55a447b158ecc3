"""``python -m bench.kills``: kill the pipeline at random moments, run it again, and compare the results to the byte.

``python -m bench.kills joint@0 --kills 20 --preset smoke -S seeds=[0] -S budget.passes=300`` does this to one stage.
``--jobs 2`` runs ``fkt repro --jobs 2`` instead of ``dvc repro``. The kills take turns:

  all      SIGKILL to every process, as a power failure
  stage    SIGKILL to one stage, as a lack of memory
  parent   SIGKILL to DVC or fkt alone, whose stages outlive it for a moment
  TERM     SIGTERM to every process, as a scheduler sends
"""

import argparse
import hashlib
import itertools
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.pipeline import commit, copy_project, run

KINDS = ("all", "stage", "parent", "TERM")
COMPARED = ("models/**/*.*", "metrics/logs/**/curve.csv", "metrics/runs/**/*.*", "metrics/maps/*", "metrics/test.json")
"""What does not contain a time."""
DAMAGED = "dvc.lock' validation failed|'dvc.lock', YAML file structure is corrupted"
"""DVC's messages where it died while it wrote this file."""


def digests(folder: Path) -> dict[str, str]:
    """Return a checksum of each file that must be the same after any kill."""
    paths = sorted(path for pattern in COMPARED for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def start(folder: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the pipeline; what it prints is added to log.txt."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def stages(parent: psutil.Process) -> list[psutil.Process]:
    """Return the running stages."""
    found = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            if any(word.startswith("stages.") for word in process.cmdline()):
                found.append(process)
    return found


def lost_seconds(folder: Path, stage: psutil.Process) -> float:
    """Return how long a stage has worked since its newest save, or since it began."""
    name = stage.environ().get("DVC_STAGE", "").replace("@", "-*-") + "-*.pt"
    saves = [path.stat().st_mtime for path in (folder / ".ckpt").glob(name)]
    return time.time() - max([stage.create_time(), *saves])


def kill(folder: Path, parent: psutil.Process, kind: str) -> list[float]:
    """Kill, wait for what dies of it, and return the seconds of work that each stage that died has lost."""
    running = stages(parent)
    hit = running[:1] if kind == "stage" else running
    lost = []
    for stage in hit:
        with suppress(psutil.Error, OSError):
            lost.append(lost_seconds(folder, stage))
    below = parent.children(recursive=True) if kind in ("all", "TERM") else []
    targets = hit if kind == "stage" else [parent, *below]
    number = signal.SIGTERM if kind == "TERM" else signal.SIGKILL
    for process in targets:
        with suppress(psutil.Error):
            process.send_signal(number)
    return [] if kind in ("parent", "TERM") else lost  # those save themselves


def main() -> None:
    """Print each kill, and whether the results are those of an undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="stages; by default all")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--preset", action="append", default=[])
    parser.add_argument("-S", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--jobs", type=int, help="run 'fkt repro' with so many jobs")
    arguments = parser.parse_args()
    program = ["fkt", "repro", "--jobs", str(arguments.jobs)] if arguments.jobs else ["dvc", "repro"]
    command = [sys.executable, "-m", *program, *arguments.targets]
    moments, kinds = random.Random(arguments.seed), itertools.cycle(KINDS)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory(prefix="fkt-kills-") as name:
        folder = Path(name) / "project"
        folder.mkdir()
        copy_project(folder)
        for preset in arguments.preset:
            run(folder, sys.executable, "-m", "fkt", "preset", preset)
        edit = "import sys; from dvc.utils.hydra import apply_overrides; apply_overrides('params.yaml', sys.argv[1:])"
        run(folder, sys.executable, "-c", edit, *arguments.changes)
        commit(folder, "settings")
        began = time.monotonic()
        if start(folder, command).wait() != 0:
            sys.exit((folder / "log.txt").read_text()[-2000:])
        whole = time.monotonic() - began
        expected, lost, kills = digests(folder), [], 0
        print(f"undisturbed: {whole:.0f} s, {len(expected)} files", flush=True)
        while kills < arguments.kills:
            forget(folder, data=not arguments.targets)
            while True:
                process, planned = start(folder, command), moments.uniform(0, whole)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(planned if kills < arguments.kills else None)
                if (status := process.poll()) is not None:
                    if status == 0 or not re.search(DAMAGED, (folder / "log.txt").read_text()[-500:]):
                        break
                    print("    dvc.lock is damaged: removed", flush=True)  # see docs/recovery.md
                    (folder / "dvc.lock").unlink()
                    continue
                kind = next(kinds)
                if kind == "stage" and not stages(psutil.Process(process.pid)):
                    kind = next(kinds)  # DVC is busy with itself
                seconds = kill(folder, psutil.Process(process.pid), kind)
                kills += 1
                lost += seconds
                status = process.wait()
                said = ", ".join(f"{value:.1f}" for value in seconds) or "0"
                print(f"{kills:3} {kind:6} after {planned:5.1f} s: exit {status}, lost {said} s", flush=True)
            same = digests(folder) == expected
            print(f"    ended with {status}: {'the same bytes' if same else 'OTHER BYTES'}", flush=True)
            if status != 0 or not same:
                sys.exit((folder / "log.txt").read_text()[-2000:])
        traces = (folder / "log.txt").read_text().count("Traceback")
    print(f"{kills} kills, the same bytes after all of them, {traces} tracebacks")
    print(
        f"seconds of work lost by SIGKILL: median {statistics.median(lost or [0]):.1f}, largest {max(lost or [0]):.1f}"
    )


def forget(folder: Path, *, data: bool) -> None:
    """Remove what the pipeline has made, DVC's cache included; data: the prepared data as well."""
    names = ["models", "metrics/runs", "metrics/logs", "metrics/maps", ".ckpt", ".dvc/cache", ".dvc/tmp"]
    run(folder, "rm", "-rf", *names, *(["data", "dvc.lock"] if data else []))


if __name__ == "__main__":
    main()
