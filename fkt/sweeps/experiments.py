"""Results of experiments as they are found: in DVC's experiments, and in plain folders. Judges none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fkt.core.errors import UserError
from fkt.core.runs import METRICS
from fkt.params import PARAMS_FILE
from fkt.params.reader import read_yaml
from fkt.presets import flat

SUMMARY = METRICS / "summary.json"
FINISHED = "success"


class NoExperiments(UserError):
    """DVC cannot tell of experiments, or a folder holds no results."""


@dataclass(frozen=True)
class Experiment:
    """One finished experiment."""

    name: str
    made: str
    """Local time, ISO 8601 to the second."""
    commit: str | None
    """The commit that it started from; None for a folder."""
    params: dict[str, Any]
    """Dotted keys of params.yaml and their values."""
    sections: dict[str, dict[str, float]]
    """metrics/summary.json."""
    read: Callable[[Path], str | None]
    """Text of another file that the experiment left in git, or in its folder; None where there is none."""


@dataclass(frozen=True)
class Unfinished:
    """An experiment that has no results: queued, running or failed."""

    name: str
    state: str
    params: dict[str, Any]


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC, of the environment that runs us, and wait for it."""
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)  # noqa: S603


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that failed said, in one line."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "it said nothing")
    return said.removeprefix("ERROR:").strip()


def read_dvc(*, all_commits: bool) -> tuple[list[Experiment], list[Unfinished]]:
    """Ask ``dvc exp show --json`` for the experiments of this commit, or of every commit.

    Raises NoExperiments where DVC fails, or answers in another form than it did when this was written.
    """
    done = dvc("exp", "show", "--json", *(["--all-commits"] if all_commits else []))
    if done.returncode:
        raise NoExperiments(f"'dvc exp show' failed: {complaint(done)}")
    try:
        return parse(json.loads(done.stdout))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NoExperiments(
            f"'dvc exp show --json' answers in a form that is not known here ({type(error).__name__}: {error}); "
            "install the DVC that requirements.txt names"
        ) from error


def parse(answer: Any) -> tuple[list[Experiment], list[Unfinished]]:  # noqa: ANN401 - JSON
    """Sort the answer of ``dvc exp show --json`` into finished and unfinished experiments.

    A queued, running or failed experiment is shown by DVC with its own parameters beside the metrics that its commit
    started with: these are no results of it, and are left out.
    """
    finished, unfinished = [], []
    for commit in answer:
        for entry in commit["experiments"] or []:
            executor, found = entry["executor"], entry["revs"][0]
            state = executor["state"] if executor else FINISHED  # run without the queue: nothing to tell of
            data = found["data"] or {}
            name = str(entry["name"] or found["rev"][:7])
            params = dict(flat(_content(data.get("params"), PARAMS_FILE) or {}))
            summary = _content(data.get("metrics"), SUMMARY)
            if state == FINISHED and not found["error"] and data.get("rev") == found["rev"] and summary and params:
                made, read = data["timestamp"], _reader_of(found["rev"])
                finished.append(Experiment(name, str(made), commit["rev"], params, summary, read))
            else:
                unfinished.append(Unfinished(name, state if state != FINISHED else "without results", params))
    return finished, unfinished


def read_folder(folder: Path) -> Experiment:
    """Read a checkout, or any folder with params.yaml and metrics/summary.json. Raises NoExperiments."""
    for path in (PARAMS_FILE, SUMMARY):
        if not (folder / path).is_file():
            raise NoExperiments(f"{folder} holds no results: {path} is missing")
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except ValueError as error:
        raise NoExperiments(f"{folder / SUMMARY} is no JSON: {error}") from error
    made = datetime.fromtimestamp((folder / SUMMARY).stat().st_mtime).isoformat(timespec="seconds")
    params = dict(flat(read_yaml(folder / PARAMS_FILE)))

    def read(path: Path) -> str | None:
        return (folder / path).read_text(encoding="utf-8") if (folder / path).is_file() else None

    return Experiment(str(folder), made, None, params, summary, read)


def read_now() -> dict[str, Any] | None:
    """Dotted keys of params.yaml as it is now, and their values; None where there is no such file."""
    content = read_yaml(PARAMS_FILE) if PARAMS_FILE.is_file() else None
    return dict(flat(content)) if isinstance(content, dict) else None


def _content(files: Any, path: Path) -> dict[str, Any] | None:  # noqa: ANN401 - JSON
    """Return what DVC read from a file; None where it could not."""
    found = ((files or {}).get(path.as_posix()) or {}).get("data")
    return found if isinstance(found, dict) else None


def _reader_of(revision: str) -> Callable[[Path], str | None]:
    def read(path: Path) -> str | None:
        command = ["git", "show", f"{revision}:./{path.as_posix()}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
        return done.stdout if done.returncode == 0 else None

    return read
