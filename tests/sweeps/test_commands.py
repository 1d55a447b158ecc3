"""``fkt sweep`` and ``fkt gather``: what they print, write and refuse, and a sweep of two that DVC runs."""

import re
from pathlib import Path

import pytest

from fkt.cli.main import main
from fkt.sweeps import experiments
from tests.conftest import ROOT, Project
from tests.sweeps.conftest import SMALL, Shows, Small, entry

SUMMARY = {"functional": {"accuracy": 0.9, "accuracy_std": 0.01, "val_accuracy": 0.8, "seeds": 3}}
Capture = pytest.CaptureFixture[str]


def queued(text: str) -> list[str]:
    return re.findall(r"^dvc exp run --queue -n (\S+)", text, re.MULTILINE)


def test_sweeps_are_listed_with_their_sizes(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(ROOT)
    main(["sweep"])
    printed = capsys.readouterr().out
    assert re.search(r"^  lambda +The weight of the self-supervised loss \(12 experiments\)$", printed, re.MULTILINE)
    assert printed.count("experiments)") == len(list((ROOT / "sweeps").glob("*.yaml")))


def test_what_is_missing_or_has_failed_is_queued(small: Small, shows: Shows, capsys: Capture) -> None:
    _, cells = small(SMALL)
    states = ["success", "queued", "running", "failed"]
    shows([entry(cell, SUMMARY, state=state) for cell, state in zip(cells, states, strict=False)])
    main(["sweep", "small", "--dry-run"])
    printed = capsys.readouterr().out
    assert queued(printed) == ["small-1-all", "small-3-10pct"]
    assert "# small-0-all: queued\n" in printed and "2 experiments would be queued; 3 exist already." in printed


def test_a_name_with_other_parameters_is_refused_and_left_out(
    small: Small, shows: Shows, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cells = small(SMALL)
    shows([entry(cells[0], SUMMARY, **{"budget.passes": 7}), entry(cells[1], SUMMARY, **{"lambda": 0.5})])
    with pytest.raises(
        SystemExit, match=r"experiment small-0-10pct with other parameters: budget.passes is 7 instead of \d+"
    ):
        main(["sweep", "small", "--dry-run"])
    main(["gather", "small"])
    page = Path("metrics/tables/small.md").read_text(encoding="utf-8")
    assert (
        "small-0-all (left out, because lambda is 0.5 instead of 0.0; remove it with 'dvc exp remove small-0-all')"
        in page
    )
    assert re.search(r"\| 0 .*\| ours .*80.00 .*90.00 \u00b1 1.00 .*missing .*missing", page)


def test_one_wrong_cell_stops_the_sweep_before_anything_is_queued(small: Small, shows: Shows, capsys: Capture) -> None:
    small(SMALL.replace('"3": {lambda: 3.0}', '"3": {lambda: -3.0}'))
    shows([])
    with pytest.raises(SystemExit, match=r"^error: small-3-10pct: params.yaml: lambda: -3.0 is out of range"):
        main(["sweep", "small"])
    assert capsys.readouterr().out == ""


def test_without_results_the_states_are_reported_and_nothing_is_written(small: Small, shows: Shows) -> None:
    _, cells = small(SMALL)
    shows([entry(cells[0], SUMMARY, state="failed"), entry(cells[1], SUMMARY, state="queued")])
    states = r"small-0-10pct \(failed\), small-0-all \(queued\), small-1-10pct \(missing\)"
    with pytest.raises(SystemExit, match=f"nothing to gather. 5 of 5 experiments have no results: {states}"):
        main(["gather", "small"])
    assert not Path("metrics").exists()


def test_a_repository_without_a_commit_is_refused(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    small(SMALL)
    monkeypatch.setattr(experiments, "dvc", lambda *arguments: "[]")
    for command in (lambda: main(["sweep", "small", "--dry-run"]), lambda: main(["gather", "small"])):
        with pytest.raises(SystemExit, match="the repository has no commit.*'git commit'"):
            command()


REPORT = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
assert params["lambda"] < 1, "this one fails"
pathlib.Path("metrics").mkdir(exist_ok=True)
score = {"accuracy": 0.9 - 0.1 * params["lambda"], "accuracy_std": 0.0125, "seeds": 3}
pathlib.Path("metrics/summary.json").write_text(json.dumps({mode: score for mode in params["modes"]}))
costs = "".join(f"functional,{seed},{stage},7,{10 * seed},3000,1.5\\n" for seed in (0, 1) for stage in ("a", "b"))
pathlib.Path("metrics/costs.csv").write_text("mode,seed,stage,epochs,image_passes,gflops,seconds\\n" + costs)
"""
PIPELINE = """
stages:
  report:
    cmd: python report.py
    params: [lambda, modes, labels]
    outs:
    - metrics/summary.json: {cache: false, persist: true}
    - metrics/costs.csv: {cache: false, persist: true}
"""
TWO = """
title: Two
question: Which of two?
settings: {modes: [functional], labels.per_class: null}
axes:
  lambda:
    half: {lambda: 0.5}
    two: {lambda: 2.0}
tables:
- title: Both
  rows: [lambda]
  columns: [metric]
  modes: [functional]
  metrics: [accuracy, epochs, image_passes, gflops]
"""


@pytest.mark.slow
def test_a_sweep_is_queued_run_and_gathered_by_dvc(project: Project) -> None:
    (project.root / "report.py").write_text(REPORT)
    (project.root / "dvc.yaml").write_text(PIPELINE)
    (project.root / "sweeps/two.yaml").write_text(TWO)
    project.commit("a pipeline of one small stage")

    def run(*arguments: str) -> str:
        return project.python("fkt", *arguments).stdout

    assert "2 experiments would be queued" in run("sweep", "two", "--dry-run")
    assert "two-" not in project.dvc("queue", "status").stdout
    assert "2 experiments queued; 0 exist already." in run("sweep", "two")
    assert queued(run("sweep", "two")) == [], "they wait already"
    nothing = project.python("fkt", "gather", "two", check=False)
    assert nothing.returncode == 1 and "two-half (queued), two-two (queued)" in nothing.stderr
    project.dvc("exp", "run", "--run-all", check=False)
    page = re.sub(" +", " ", run("gather", "two"))
    assert "| half | ours | 85.00 \u00b1 1.25 | 14.0 | 10 \u00b1 14 | 6.000 |\n| two | ours | failed | failed |" in page
    assert "![" not in page, "no table has a figure"
    assert queued(run("sweep", "two")) == ["two-two"], "a failed one is queued again under its name"
    project.commit("a later commit")
    nothing = project.python("fkt", "gather", "two", check=False)
    assert nothing.returncode == 1 and "fkt gather two --rev COMMIT" in nothing.stderr
    page = re.sub(" +", " ", run("gather", "two", "--rev", "HEAD~1"))
    assert "| 85.00 \u00b1 1.25 |" in page and "| two | ours | queued |" in page
