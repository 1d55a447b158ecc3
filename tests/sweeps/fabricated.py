"""Made-up answers of ``dvc exp show --json``, in the form of DVC 3.67; nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fkt.sweeps.cells import Cell
from fkt.sweeps.experiments import Experiment, parse
from fkt.sweeps.matching import Gathered, gather

Summary = dict[str, dict[str, float]]
COMMIT = "5f100bbace6ea7fe6cb4471d8b985adca77c2982"


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as sections."""
    content: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        section = content
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return content


def entry(
    name: str,
    params: Mapping[str, Any],
    summary: Summary,
    *,
    state: str | None = "success",
    made: str = "2026-01-02T03:04:05",
    rev: str = "e926e1caa1c5d317c5a88e9c19ad37727ed8de33",
) -> dict[str, Any]:
    """One experiment; state: of the queue's task, None for one that was run without the queue."""
    shown = "workspace" if state == "running" else rev
    data = {
        "rev": shown,
        "timestamp": None if state == "running" else made,
        "params": {"params.yaml": {"data": nested(params)}},
        "metrics": {"metrics/summary.json": {"data": summary}},
        "deps": {},
        "outs": {},
        "meta": {},
    }
    error = {"msg": "Experiment run failed", "type": ""} if state == "failed" else None
    executor = None if state is None else {"state": state, "name": "dvc-task", "local": {"root": None, "log": ""}}
    revision = {"rev": rev, "name": name, "data": data, "error": error, "experiments": None}
    return {"revs": [revision], "executor": executor, "name": name}


def answer(entries: Sequence[dict[str, Any]], commit: str = COMMIT) -> list[dict[str, Any]]:
    """The whole answer: the workspace, and one commit with experiments."""
    empty = {"timestamp": None, "params": {}, "metrics": {}, "deps": {}, "outs": {}, "meta": {}}
    return [
        {"rev": "workspace", "name": None, "data": {"rev": "workspace", **empty}, "error": None, "experiments": None},
        {"rev": commit, "name": "main", "data": {"rev": commit, **empty}, "error": None, "experiments": list(entries)},
    ]


def gathered(
    cells: Sequence[Cell],
    summarize: Callable[[Cell], Summary],
    *,
    others: Mapping[str, Any] | None = None,
    costs: Callable[[Cell], str] = lambda cell: "",
) -> Gathered:
    """Every cell of a sweep, run; others: parameters beside the sweep's; costs: text of metrics/costs.csv."""
    entries = [entry(cell.name("x"), {**(others or {}), **cell.settings}, summarize(cell)) for cell in cells]
    finished, unfinished = parse(answer(entries))
    told = [_with_files(one, {"metrics/costs.csv": costs(cell)}) for one, cell in zip(finished, cells, strict=True)]
    return gather(cells, told, unfinished)


def _with_files(experiment: Experiment, files: Mapping[str, str]) -> Experiment:
    def read(path: Path) -> str | None:
        return files.get(path.as_posix())

    return Experiment(experiment.name, experiment.made, experiment.commit, experiment.params, experiment.sections, read)
