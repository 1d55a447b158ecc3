"""The two commands: what they refuse, what they print, and, from end to end, a sweep of two that DVC runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fkt.cli import gather, sweep
from fkt.core.errors import ParamsError, UserError
from fkt.params.reader import read_yaml
from fkt.presets import flat
from fkt.sweeps.cells import Cell, cells_of
from fkt.sweeps.experiments import Experiment, Unfinished, parse
from fkt.sweeps.queueing import check_repository, plan
from fkt.sweeps.spec import load_sweep
from tests.conftest import ROOT, Project
from tests.sweeps.fabricated import answer, entry
from tests.sweeps.small import TEXT, written

SUMMARY = {"functional": {"accuracy": 0.9, "accuracy_std": 0.01, "val_accuracy": 0.8, "seeds": 3}}


@pytest.fixture
def content() -> dict[str, Any]:
    found = read_yaml(ROOT / "params.yaml")
    assert isinstance(found, dict)
    return found


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return cells_of(load_sweep("small", written(tmp_path / "sweeps")))


def experiments(content: dict[str, Any], state: str = "success") -> tuple[list[Experiment], list[Unfinished]]:
    """One with all the parameters of the second cell."""
    params = {**content, "lambda": 0.0, "modes": ["functional"], "labels": {"per_class": None, "fraction": None}}
    return parse(answer([entry("mine", dict(flat(params)), SUMMARY, state=state)]))


def test_a_command_sets_what_differs_and_always_what_the_levels_say(content: dict[str, Any], cells: list[Cell]) -> None:
    content["labels"]["per_class"] = None
    planned = plan("small", cells, content, "params.yaml", [], [])
    assert [one.name for one in planned] == [
        "small-0-10pct", "small-0-all", "small-1-10pct", "small-1-all", "small-3-10pct",
    ]  # fmt: skip
    assert planned[3].arguments == [
        "exp", "run", "--queue", "-n", "small-1-all", "-S", "modes=[functional]", "-S", "lambda=1.0", "-S",
        "labels.fraction=null", "report",
    ]  # fmt: skip


def test_one_cell_that_is_no_experiment_stops_all(content: dict[str, Any], tmp_path: Path) -> None:
    text = TEXT.replace('"3": {lambda: 3.0}', '"3": {lambda: -3.0}')
    cells = cells_of(load_sweep("small", written(tmp_path / "sweeps", text)))
    with pytest.raises(ParamsError, match=r"^params.yaml with lambda 3, labels 10 %: lambda: -3.0 is out of range"):
        plan("small", cells, content, "params.yaml", [], [])


@pytest.mark.parametrize("state", ["success", "queued", "running"])
def test_what_this_commit_has_or_waits_for_is_not_queued_again(
    content: dict[str, Any], cells: list[Cell], state: str
) -> None:
    planned = plan("small", cells, content, "params.yaml", *experiments(content, state))
    assert [one.known for one in planned] == ["", "mine", "", "", ""]


def test_what_failed_or_has_other_parameters_is_queued_again_under_a_name_of_its_own(
    content: dict[str, Any], cells: list[Cell]
) -> None:
    finished, unfinished = experiments(content, "failed")
    other = parse(answer([entry("small-0-all", {"lambda": 0.0}, SUMMARY), entry("small-0-all-2", {}, SUMMARY)]))
    planned = plan("small", cells, content, "params.yaml", [*finished, *other[0]], [*unfinished, *other[1]])
    assert [one.name for one in planned][:3] == ["small-0-10pct", "small-0-all-3", "small-1-10pct"]
    assert not any(one.known for one in planned)


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ([], "this folder is in no git repository, .*run 'git init'"),
        ([("git", "init", "--quiet")], "there is no .dvc folder here; run this from the project's root"),
        ([("git", "init", "--quiet"), ("mkdir", ".dvc")], "nothing is committed yet, .*'git commit'"),
    ],
)
def test_a_place_where_dvc_cannot_queue_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for command in commands:
        Project(tmp_path).run(*command)
    with pytest.raises(UserError, match=message):
        check_repository()


def test_sweeps_are_listed_with_their_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    sweep.list_sweeps()
    printed = capsys.readouterr().out
    assert re.search(r"^  lambda +The weight of the self-supervised loss \(12 experiments\)$", printed, re.MULTILINE)
    assert printed.count("experiments)") == len(list((ROOT / "sweeps").glob("*.yaml")))


def test_gathering_writes_the_table_and_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse(answer([entry("x", cells[2].settings, SUMMARY)]))
    monkeypatch.setattr(gather, "read_dvc", lambda *, all_commits: found)
    assert gather.main("small") == [Path("metrics/tables/small.md"), Path("metrics/tables/small.png")]
    page = Path("metrics/tables/small.md").read_text(encoding="utf-8")
    assert " 90.00 \u00b1 1.00 (3) |" in page and "## Missing: 4 of 5 experiments" in page
    assert page in capsys.readouterr().out and "![Small sweep](small.png)" in page


def test_folders_are_gathered_beside_dvcs_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[Cell]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gather, "read_dvc", lambda *, all_commits: ([], []))
    folder = tmp_path / "elsewhere"
    (folder / "metrics").mkdir(parents=True)
    (folder / "metrics/summary.json").write_text(json.dumps(SUMMARY))
    params = {"lambda": 1.0, "modes": ["functional"], "labels": {"per_class": None, "fraction": 0.1}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    gather.main("small", tmp_path / "out", [folder])
    assert f"| {folder} | " in re.sub(" +", " ", (tmp_path / "out/small.md").read_text(encoding="utf-8"))


def test_nothing_is_written_where_no_experiment_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[Cell]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse(answer([entry("x", cells[2].settings, SUMMARY, state="failed")]))
    monkeypatch.setattr(gather, "read_dvc", lambda *, all_commits: found)
    with pytest.raises(UserError, match=r"nothing to gather; 'fkt sweep small' queues .*\n +failed: x$"):
        gather.main("small")
    assert not (tmp_path / "metrics").exists()


REPORT = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
pathlib.Path("metrics").mkdir(exist_ok=True)
score = {"accuracy": 0.9 - 0.1 * params["lambda"], "accuracy_std": 0.0125, "val_accuracy": 0.8, "seeds": 3}
json.dump({mode: score for mode in params["modes"]}, open("metrics/summary.json", "w"))
open("metrics/costs.csv", "w").write("mode,seed,stage,epochs,seconds\\nfunctional,0,joint,7,1.5\\n")
"""
PIPELINE = """
stages:
  report:
    cmd: python report.py
    params: [lambda, modes, labels]
    metrics:
    - metrics/summary.json: {cache: false, persist: true}
    outs:
    - metrics/costs.csv: {cache: false, persist: true}
"""
TWO = """
title: Two
question: Which of two?
remarks: []
settings: {modes: [functional], labels.per_class: null}
axes:
  lambda:
    half: {lambda: 0.5}
    two: {lambda: 2.0}
  labels:
    all: {labels.fraction: null}
tables:
- {title: Both, rows: [lambda], columns: [metric], modes: [functional], metrics: [accuracy, epochs]}
"""


@pytest.mark.slow
def test_a_sweep_is_queued_run_and_gathered_by_dvc(project: Project) -> None:
    (project.root / "report.py").write_text(REPORT)
    (project.root / "dvc.yaml").write_text(PIPELINE)
    written(project.root / "sweeps", TWO, "two")
    project.commit("a pipeline of one small stage")
    dry = project.python("fkt", "sweep", "two", "--dry-run").stdout
    assert "2 experiments would be queued" in dry and project.dvc("queue", "status").stdout.count("two-") == 0
    assert "2 experiments queued, 0 are there already." in project.python("fkt", "sweep", "two").stdout
    assert "0 experiments queued, 2 are there already." in project.python("fkt", "sweep", "two").stdout
    nothing = project.python("fkt", "gather", "two", check=False)
    assert nothing.returncode == 1 and "queued: two-half-all" in nothing.stderr
    project.dvc("exp", "run", "--run-all")
    page = re.sub(" +", " ", project.python("fkt", "gather", "two").stdout)
    assert "| half | ours | 85.00 \u00b1 1.25 (3) | 7.0 |\n| two | ours | 70.00 \u00b1 1.25 (3) | 7.0 |" in page
    assert "| lambda half, labels all | two-half-all | " in page and "Missing" not in page
    (project.root / "params.yaml").write_text(
        (project.root / "params.yaml").read_text().replace("lambda: 1.0", "lambda: abc")
    )
    wrong = project.python("fkt", "sweep", "two", check=False)
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: params.yaml: lambda: 'abc' is text")
