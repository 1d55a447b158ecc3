"""A small sweep in a folder of its own, and its experiments as DVC shows them."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from fkt.params.presets import nested
from fkt.sweeps import experiments
from fkt.sweeps.spec import Cell, Sweep, load_sweep
from tests.conftest import ROOT

COMMIT = "5f100bbace6ea7fe6cb4471d8b985adca77c2982"
SMALL = """
title: Small sweep
question: Which one?
remarks: [Read this.]
settings: {modes: [functional], labels.per_class: null}
axes:
  lambda:
    "0": {lambda: 0.0}
    "1": {lambda: 1.0}
    "3": {lambda: 3.0}
  labels:
    10 %: {labels.fraction: 0.1}
    all: {labels.fraction: null}
exclude:
- {lambda: "3", labels: all}
tables:
- title: Accuracy
  rows: [lambda]
  columns: [labels, metric]
  modes: [functional]
  metrics: [val_accuracy, accuracy]
  figure: {x: lambda, hue: metric, line: true}
  choice: lambda
  published:
  - source: A paper, arXiv:0000.00001, Table 1
    conditions: CIFAR-10 for 5 epochs
    dataset: cifar10
    values:
      "1": {10 %: {accuracy: "81.5 +- 0.25"}, all: {accuracy: "90"}}
      others': {all: {accuracy: "91.00"}}
  - source: A paper, arXiv:0000.00001, Table 2
    conditions: STL-10 for 5 epochs
    dataset: stl10
    values:
      "1": {all: {accuracy: "70.1"}}
"""
Small = Callable[[str], tuple[Sweep, list[Cell]]]
"""Write the text of a sweep, and return the sweep and its cells."""
Shows = Callable[..., None]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """Run in a folder with params.yaml, the presets, and the sweep that the test writes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    apply_overrides("params.yaml", ["lambda=1.0"])
    shutil.copytree(ROOT / "presets", "presets")
    Path("sweeps").mkdir()

    def write(text: str = SMALL) -> tuple[Sweep, list[Cell]]:
        Path("sweeps/small.yaml").write_text(text, encoding="utf-8")
        sweep = load_sweep("small")
        return sweep, sweep.cells()

    return write


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Shows:
    """Replace ``dvc exp show --json`` and the files of the experiments: there are these entries."""

    def answer(entries: Iterable[dict[str, Any]]) -> None:
        entries = list(entries)
        summaries = {one["revs"][0]["rev"]: json.dumps(one.pop("summary")) for one in entries}
        monkeypatch.setattr(experiments, "read_text", lambda rev, path: summaries[rev])
        rows = [{"rev": "workspace", "experiments": None}, {"rev": COMMIT, "experiments": entries}]
        monkeypatch.setattr(experiments, "dvc", lambda *arguments: json.dumps(rows))

    return answer


def entry(cell: Cell, summary: dict[str, Any], state: str | None = "success", **changes: Any) -> dict[str, Any]:
    """An experiment of a cell in the form of DVC 3.67; state: None for one that ran without the queue."""
    params = experiments.present() | cell.settings | changes
    data = {"params": {"params.yaml": {"data": nested(params)}}}
    executor = None if state is None else {"state": state, "name": "dvc-task", "local": {"root": None}}
    revs = [{"rev": f"commit of {cell.name}", "data": data, "error": None}]
    return {"revs": revs, "executor": executor, "name": cell.name, "summary": summary}
