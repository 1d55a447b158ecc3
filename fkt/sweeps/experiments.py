"""Experiments of DVC: their state and results, and the commands that queue new ones."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fkt.check import check_names
from fkt.core.errors import ParamsError, UserError, did_you_mean
from fkt.core.runs import METRICS
from fkt.params import PARAMS_FILE, parse_params
from fkt.params.presets import flat, nested
from fkt.params.reader import read_yaml
from fkt.sweeps.spec import Cell, Settings

SUMMARY = METRICS / "summary.json"
FINISHED, FAILED = "success", "failed"
STATES = (FAILED, "queued", "running", FINISHED)
WORDS = ("null", "true", "false", "nan", "inf")
"""Words that DVC does not read as text."""


@dataclass(frozen=True)
class Experiment:
    """An experiment as DVC shows it."""

    name: str
    state: str
    rev: str
    """Commit of its results."""
    params: Settings
    summary: dict[str, dict[str, float]]
    """Content of metrics/summary.json; empty until it has finished."""

    def differences(self, wanted: Settings) -> str:
        """Return the wanted parameters that the experiment does not have; empty if it has all of them."""
        wrong = [key for key, value in wanted.items() if key not in self.params or self.params[key] != value]
        return ", ".join(f"{key} is {self.params.get(key, 'absent')!r} instead of {wanted[key]!r}" for key in wrong)


def read_experiments(rev: str = "HEAD") -> dict[str, Experiment]:
    """Return the experiments that start from a commit, by name; the finished one if a name occurs more than once."""
    answer = json.loads(dvc("exp", "show", "--json", "--rev", rev))
    if not answer:
        raise UserError("the repository has no commit. Experiments need one; run 'git add --all' and 'git commit'")
    found = [_experiment(entry) for row in answer for entry in row["experiments"] or []]
    return {one.name: one for one in sorted(found, key=lambda one: STATES.index(one.state))}


def present() -> Settings:
    """Return the parameters of params.yaml by their dotted keys."""
    return dict(flat(read_yaml(PARAMS_FILE)))


def params_of(cell: Cell, now: Settings) -> Settings:
    """Return all parameters of a cell over those of params.yaml, ``now``. Raise ParamsError if they are not valid."""
    params = now | cell.settings
    if unknown := sorted(params.keys() - now.keys()):
        raise ParamsError(f"{cell.name}: {PARAMS_FILE} has no key '{unknown[0]}'{did_you_mean(unknown[0], now)}")
    try:
        check_names(parse_params(nested(params)))
    except ParamsError as error:
        raise ParamsError(f"{cell.name}: {error}") from error
    return params


def command(cell: Cell, now: Settings) -> list[str]:
    """Return the arguments of dvc that queue a cell; parameters that params.yaml has already are not set."""
    changes = [f"{key}={override(value)}" for key, value in cell.settings.items() if now[key] != value]
    return ["exp", "run", "--queue", "-n", cell.name, *(part for change in changes for part in ("-S", change))]


def override(value: object) -> str:
    """Write a value in the syntax of ``dvc exp run -S key=value``. Raise ParamsError if DVC cannot set it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{override(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(override, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    if "\\" in text:
        raise ParamsError(f"'dvc exp run -S' cannot set {text}; remove quotes, backslashes and line breaks")
    if isinstance(value, float) and "." not in text:
        raise ParamsError(f"DVC would write {text}, which YAML reads as text; add digits, such as 1.1e-05")
    return value if isinstance(value, str) and value.isidentifier() and value.lower() not in WORDS else text


def dvc(*arguments: str) -> str:
    """Run DVC and return its output. Raise UserError with its message if it fails."""
    run = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        message = next((line for line in run.stderr.splitlines() if line.startswith("ERROR")), run.stderr.strip())
        raise UserError(f"'dvc {' '.join(arguments[:2])}' failed: {message.removeprefix('ERROR: ')}")
    return run.stdout


def read_text(rev: str, path: Path) -> str:
    """Return a file of an experiment, or an empty string if it has none."""
    show = ["git", "show", f"{rev}:./{path.as_posix()}"]
    return subprocess.run(show, capture_output=True, text=True, check=False).stdout  # noqa: S603


def _experiment(entry: dict[str, Any]) -> Experiment:
    """Read one entry of DVC's answer. An unfinished one has the results of the commit it starts from, not its own."""
    shown = entry["revs"][0]
    state = entry["executor"]["state"] if entry["executor"] else FINISHED
    params = shown["data"]["params"].get(PARAMS_FILE.as_posix(), {}).get("data", {}) if shown["data"] else {}
    summary = json.loads(read_text(shown["rev"], SUMMARY) or "{}") if state == FINISHED else {}
    if state == FINISHED and not summary:
        state = FAILED
    return Experiment(entry["name"], state, shown["rev"], dict(flat(params)), summary)
