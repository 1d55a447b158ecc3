"""``python -m bench.pipeline``: the time of the default comparison, and of ``dvc repro`` with nothing to do.

Both run in temporary folders. The second time is compared with that of a pipeline with the same number of stages, each
of which wrote one small file.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from bench.harness import interleaved

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, *command: str) -> None:
    """Run a command in a folder, with the folder of our interpreter first on the path. Exit if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def dvc(folder: Path, *arguments: str) -> None:
    """Run DVC in a folder."""
    run(folder, sys.executable, "-m", "dvc", *arguments)


def copy_project(folder: Path) -> None:
    """Copy the files that git tracks to a folder, and commit them to a new repository there."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "-q")
    commit(folder, "start")


def commit(folder: Path, message: str) -> None:
    """Commit all files, changed or not."""
    run(folder, "git", "add", "-A")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    run(folder, "git", *identity, "commit", "-q", "--allow-empty", "-m", message)


def make_empty_pipeline(folder: Path, stages: int) -> None:
    """Write and run a pipeline whose stages do almost nothing."""
    folder.mkdir()
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    content = {"stages": {f"s{k}": {"cmd": f"echo {k} > o{k}", "outs": [f"o{k}"]} for k in range(stages)}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(content))
    dvc(folder, "repro", "-q")


def main() -> None:
    """Print the times, the share outside of training, and the time and peak memory of each training stage."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="fkt-bench-") as name:
        ours, empty = Path(name) / "ours", Path(name) / "empty"
        copy_project(ours)
        start = time.perf_counter()
        dvc(ours, "repro")
        total = time.perf_counter() - start
        logs = sorted(ours.glob("metrics/logs/*/*/cost.json"))
        costs = {f"{path.parts[-3]} {path.parts[-2]}": json.loads(path.read_text()) for path in logs}
        training = sum(cost["seconds"] for cost in costs.values())
        stages = len(yaml.safe_load((ours / "dvc.lock").read_text())["stages"])
        make_empty_pipeline(empty, stages)
        idle = interleaved(
            {folder.name: lambda folder=folder: dvc(folder, "repro", "-q") for folder in (ours, empty)}, 5
        )
    print(f"default dvc repro from nothing: {total:.0f} s (target: at most 180)")
    print(f"  outside of training: {total - training:.0f} s, {100 * (1 - training / total):.0f} % (target: under 50 %)")
    print(f"dvc repro with nothing to do, {stages} stages: {idle['ours']:.2f} s; empty pipeline: {idle['empty']:.2f} s")
    print(f"  ratio: {idle['ours'] / idle['empty']:.2f} (target: at most 1.5)")
    print("training stage            seconds   images/s  peak memory (MB)")
    for label, cost in costs.items():
        print(f"  {label:22} {cost['seconds']:8.1f} {cost['images_per_second']:10.0f} {cost['peak_memory_mb']:17.0f}")


if __name__ == "__main__":
    main()
