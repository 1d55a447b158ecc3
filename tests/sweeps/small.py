"""A small sweep for tests: two labelled axes, one excluded combination, published figures of two datasets."""

from __future__ import annotations

from pathlib import Path

from fkt.sweeps.cells import Cell, cells_of
from fkt.sweeps.spec import Sweep, load_sweep

TEXT = """
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
  choice: {axis: lambda, by: val_accuracy, judge: accuracy}
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


def written(folder: Path, text: str = TEXT, name: str = "small") -> Path:
    """Write a sweep into a folder, and return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def small(folder: Path, text: str = TEXT) -> tuple[Sweep, list[Cell]]:
    """The sweep and its cells."""
    sweep = load_sweep("small", written(folder, text))
    return sweep, cells_of(sweep)
