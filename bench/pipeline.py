"""``python -m bench.pipeline``: the default comparison from nothing, and what DVC costs when nothing is to be done.

Both run in temporary folders on a copy of the files that git tracks. The empty pipeline has as many stages as ours,
each of which wrote one small file; the two no-op runs take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.timing import interleaved

ROOT = Path(__file__).resolve().parents[1]
DVC = [sys.executable, "-m", "dvc"]


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder with our interpreter first on the path; fail loudly."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def fresh_copy(folder: Path) -> None:
    """Copy the tracked files into a folder, without any result, as the first commit of a repository of its own."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit(folder)


def commit(folder: Path) -> None:
    """Make a folder a repository with one commit."""
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "start"]):
        run(["git", *command], folder)


def empty_pipeline(folder: Path, stages: int) -> None:
    """Write and run a pipeline of ``stages`` stages that do next to nothing."""
    run(["git", "init", "-q"], folder)
    run([*DVC, "init", "-q"], folder)
    body = "".join(f"  s{k}:\n    cmd: echo {k} > o{k}\n    outs:\n      - o{k}\n" for k in range(stages))
    (folder / "dvc.yaml").write_text(f"stages:\n{body}")
    run([*DVC, "repro", "-q"], folder)


def main() -> None:
    """Print the times, the share outside training, and each training stage's time and peak memory."""
    with tempfile.TemporaryDirectory(prefix="fkt-bench-") as name:
        ours, empty = Path(name) / "ours", Path(name) / "empty"
        ours.mkdir()
        empty.mkdir()
        fresh_copy(ours)
        start = time.perf_counter()
        run([*DVC, "repro"], ours)
        total = time.perf_counter() - start
        logs = sorted(ours.glob("metrics/logs/*/*/cost.json"))
        costs = {f"{path.parts[-3]} {path.parts[-2]}": json.loads(path.read_text()) for path in logs}
        training = sum(cost["seconds"] for cost in costs.values())
        lock = (ours / "dvc.lock").read_text()
        stages = sum(line.startswith("  ") and not line.startswith("   ") for line in lock.splitlines())
        empty_pipeline(empty, stages)
        noop = interleaved(
            {"ours": lambda: run([*DVC, "repro", "-q"], ours), "empty": lambda: run([*DVC, "repro", "-q"], empty)}, 5
        )
    print(f"default dvc repro from nothing: {total:.0f} s (wanted: at most 180)")
    print(f"  outside training: {total - training:.0f} s, {100 * (1 - training / total):.0f} % (wanted: under 50 %)")
    print(
        f"no-op dvc repro, {stages} stages: {noop['ours']:.2f} s, of an empty pipeline {noop['empty']:.2f} s:", end=" "
    )
    print(f"{noop['ours'] / noop['empty']:.2f} times (wanted: at most 1.5)")
    print("training stage            seconds   images/s  peak memory (MB)")
    for label, cost in costs.items():
        print(f"  {label:22} {cost['seconds']:8.1f} {cost['images_per_second']:10.0f} {cost['peak_memory_mb']:17.0f}")


if __name__ == "__main__":
    main()
