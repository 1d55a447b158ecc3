"""What counts as a result of an experiment, in made-up answers of DVC and in folders."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fkt.sweeps import experiments
from fkt.sweeps.equality import same
from fkt.sweeps.experiments import NoExperiments, complaint, parse, read_dvc, read_folder, read_now
from fkt.sweeps.matching import differences, gather
from tests.sweeps.fabricated import COMMIT, answer, entry
from tests.sweeps.small import small

SUMMARY = {"functional": {"accuracy": 0.9, "seeds": 3}}
PARAMS = {"lambda": 1.0, "labels.per_class": None, "labels.fraction": None, "modes": ["functional"], "seeds": [0]}


def reply(monkeypatch: pytest.MonkeyPatch, text: str, returncode: int = 0, stderr: str = "") -> list[tuple[str, ...]]:
    """Let DVC answer this, and return the list that its arguments are put in."""
    asked: list[tuple[str, ...]] = []

    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, returncode, text, stderr)

    monkeypatch.setattr(experiments, "dvc", dvc)
    return asked


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_metrics_that_an_unfinished_experiment_shows_are_not_its_own(state: str) -> None:
    """DVC shows it beside the metrics that its commit started with."""
    finished, unfinished = parse(answer([entry("a", PARAMS, SUMMARY), entry("b", PARAMS, SUMMARY, state=state)]))
    assert [one.name for one in finished] == ["a"]
    assert [(one.name, one.state, one.params) for one in unfinished] == [("b", state, PARAMS)]


def test_a_finished_experiment_is_read_whole_also_one_run_without_the_queue() -> None:
    found, _ = parse(answer([entry("a", PARAMS, SUMMARY, state=None, made="2026-05-06T07:08:09")]))
    assert (found[0].name, found[0].made, found[0].commit) == ("a", "2026-05-06T07:08:09", COMMIT)
    assert found[0].params == PARAMS and found[0].sections == SUMMARY


def test_an_experiment_without_a_summary_is_no_result() -> None:
    broken = entry("a", PARAMS, SUMMARY)
    broken["revs"][0]["data"]["metrics"] = {"metrics/summary.json": {"error": {"type": "FileNotFoundError"}}}
    nameless = entry("b", PARAMS, SUMMARY)
    nameless["name"] = None
    finished, unfinished = parse(answer([broken, nameless]))
    assert [one.name for one in finished] == ["e926e1c"]
    assert [one.state for one in unfinished] == ["without results"]


def test_dvc_is_asked_for_this_commit_or_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = reply(monkeypatch, json.dumps(answer([entry("a", PARAMS, SUMMARY)])))
    assert len(read_dvc(all_commits=False)[0]) == len(read_dvc(all_commits=True)[0]) == 1
    assert asked == [("exp", "show", "--json"), ("exp", "show", "--json", "--all-commits")]


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": 1}', '[{"rev": "x"}]', "not json", '[{"experiments": [{}]}]'])
def test_an_answer_of_another_form_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    reply(monkeypatch, text)
    with pytest.raises(NoExperiments, match="answers in a form that is not known here .*requirements.txt"):
        read_dvc(all_commits=True)


def test_what_dvc_complains_of_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reply(monkeypatch, "", 253, "\nERROR: you are not inside of a DVC repository\n\nHaving any troubles?\n")
    with pytest.raises(NoExperiments, match="^'dvc exp show' failed: you are not inside of a DVC repository$"):
        read_dvc(all_commits=True)
    assert complaint(subprocess.CompletedProcess([], 1, "", "")) == "it said nothing"


def write_folder(folder: Path, params: dict[str, Any], summary: object, made: float = 1e9) -> Path:
    (folder / "metrics").mkdir(parents=True)
    lines = [f"{key}: {json.dumps(value)}" for key, value in params.items()]
    (folder / "params.yaml").write_text("\n".join(lines) + "\n")
    (folder / "metrics/summary.json").write_text(json.dumps(summary))
    os.utime(folder / "metrics/summary.json", (made, made))
    return folder


def test_a_folder_is_an_experiment_of_its_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", {"lambda": 1.0, "labels": {"fraction": 0.1}}, SUMMARY)
    (folder / "metrics/costs.csv").write_text("mode\n")
    found = read_folder(folder)
    assert found.params == {"lambda": 1.0, "labels.fraction": 0.1} and found.sections == SUMMARY
    assert found.commit is None and found.made.startswith("2001-09-0")
    assert found.read(Path("metrics/costs.csv")) == "mode\n" and found.read(Path("dvc.lock")) is None


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoExperiments, match="holds no results: params.yaml is missing"):
        read_folder(tmp_path)
    folder = write_folder(tmp_path / "a", {"lambda": 1.0}, SUMMARY)
    (folder / "metrics/summary.json").write_text("{")
    with pytest.raises(NoExperiments, match="summary.json is no JSON"):
        read_folder(folder)


def settings(**changes: Any) -> dict[str, Any]:
    return {**PARAMS, **{key.replace("__", "."): value for key, value in changes.items()}}


def test_a_cell_is_filled_by_parameters_and_by_the_latest_whatever_the_names(tmp_path: Path) -> None:
    _, cells = small(tmp_path)  # lambda 0, 1 and 3 with 10 % and all of the labels, but 3 with all
    entries = [
        entry("small-3-10pct", settings(**{"lambda": 1}), SUMMARY, made="2026-01-01T00:00:00"),
        entry("b", settings(**{"lambda": 1.0}), SUMMARY, made="2026-01-03T00:00:00"),
        entry("c", settings(**{"lambda": 1.0}), SUMMARY, made="2026-01-02T00:00:00"),
        entry("d", settings(**{"lambda": 0.0, "labels.per_class": 2}), SUMMARY),
        entry("e", settings(**{"lambda": 3.0, "labels.fraction": 0.1}), SUMMARY, state="failed"),
        entry("f", {"lambda": 0.0}, SUMMARY),
    ]
    found = gather(cells, *parse(answer(entries)))
    assert {str(cells[at]): one.name for at, one in found.found.items()} == {"lambda 1, labels all": "b"}
    assert found.repeated == 2
    assert [str(cells[at]) for at in found.missing] == [
        "lambda 0, labels 10 %", "lambda 0, labels all", "lambda 1, labels 10 %", "lambda 3, labels 10 %",
    ]  # fmt: skip
    assert found.waiting == {4: "failed: e"}


def test_other_parameters_that_differ_between_cells_are_told(tmp_path: Path) -> None:
    _, cells = small(tmp_path)
    entries = [
        entry("a", settings(**{"lambda": 0.0, "budget.passes": 40, "seeds": [0, 1]}), SUMMARY),
        entry("b", settings(**{"lambda": 1.0, "budget.passes": 60, "seeds": [0, 1]}), SUMMARY),
        entry("c", settings(**{"lambda": 1.0, "labels.fraction": 0.1, "budget.passes": 40, "seeds": [0]}), SUMMARY),
    ]
    assert differences(gather(cells, *parse(answer(entries)))) == {
        "budget.passes": [(40, ["lambda 0, labels all", "lambda 1, labels 10 %"]), (60, ["lambda 1, labels all"])],
        "seeds": [([0, 1], ["lambda 0, labels all", "lambda 1, labels all"]), ([0], ["lambda 1, labels 10 %"])],
    }


def test_a_summary_made_with_other_parameters_is_refused_and_an_older_one_is_taken(tmp_path: Path) -> None:
    _, cells = small(tmp_path / "sweeps")
    params = {"lambda": 1.0, "labels": {"per_class": None, "fraction": None}, "modes": ["functional"], "seeds": [0]}
    lock = "stages:\n  report:\n    params:\n      params.yaml:\n        {}\n        seeds:\n        - 0\n"
    good, stale = (write_folder(tmp_path / name, params, SUMMARY, made) for name, made in (("a", 1e9), ("b", 2e9)))
    (good / "dvc.lock").write_text(lock.format("labels:\n          per_class:\n          fraction:"))
    (stale / "dvc.lock").write_text(lock.format("lambda: 0.5"))
    found = gather(cells, [read_folder(good), read_folder(stale)], [])
    assert [one.name for one in found.found.values()] == [str(good)]
    assert found.refused == [
        f"{stale}: its metrics/summary.json was made with lambda: 0.5, and its params.yaml says 1.0; "
        "run it as far as the stage report"
    ]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True), (True, 1, False), (None, None, True), ([0, 1], [0, 1.0], True), ([0], [0, 1], False),
        ([{"p": 1.0}], [{"p": 1}], True), ([{"p": 1.0}], [{"q": 1.0}], False), ("1", 1, False), (None, 0, False),
    ],
)  # fmt: skip
def test_values_are_equal_as_a_reader_takes_them(one: object, other: object, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal


def test_the_params_of_now_are_those_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_now() is None
    Path("params.yaml").write_text("lambda: 1.0\nlabels:\n  fraction:\n")
    assert read_now() == {"lambda": 1.0, "labels.fraction": None}
