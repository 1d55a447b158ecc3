"""Names, winners, what is written into params.yaml, and a tuning that DVC runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from fkt.core.errors import ParamsError
from fkt.params import load_params, parse_params, tuned_trials
from fkt.params.reader import parse_yaml
from fkt.sweeps.experiments import present
from fkt.sweeps.spec import Cell
from fkt.tuning import trials as trials_module
from fkt.tuning import tune as tune_module
from fkt.tuning.knobs import load_knobs, own_knobs
from fkt.tuning.page import Outcome, draw, page
from fkt.tuning.queue import states
from fkt.tuning.trials import Score, Trial, ends, read_record, recorded, trials_of, tuning_seeds, winner
from fkt.tuning.tune import Request, tune
from tests.conftest import Project

FAILED = Score()


def fake(*scores: Score, rate: tuple[float, ...] = (0.003, 0.01, 0.02, 0.0005)) -> tuple[list[Trial], dict[str, Score]]:
    trials = [
        Trial("supervised", number, {"supervised.learning_rate": rate[number]}, Cell(f"tune-{number}", {}, {}))
        for number in range(len(scores))
    ]
    return trials, {f"tune-{number}": score for number, score in enumerate(scores)}


@pytest.mark.parametrize(
    ("scores", "number"),
    [
        ([Score((0.5, 0.7), (1.0, 1.0)), Score((0.6, 0.62), (3.0, 3.0)), Score((0.9, 0.1), (0.1, 0.1))], 1),
        ([Score((0.5, 0.7), (1.0, 1.0)), Score((0.7, 0.5), (0.9, 1.0)), Score((0.6, 0.6), (2.0, 0.1))], 1),
        ([Score((0.5,), (1.0,)), Score((0.5,), (1.0,)), FAILED], 0),
        ([FAILED, Score((0.0,), (float("nan"),)), Score((0.0,), (float("inf"),))], 1),
        ([FAILED, Score((0.1,), (float("nan"),)), Score((0.1,), (9.0,))], 2),
    ],
)
def test_the_winner_has_the_best_accuracy_then_the_lower_loss_then_the_lower_number(
    scores: list[Score], number: int
) -> None:
    trials, table = fake(*scores)
    assert winner(trials, table).number == number
    assert winner(trials[::-1], table).number == number


def test_seeds_are_never_those_of_the_comparison() -> None:
    assert tuning_seeds([0, 1, 2], 3) == [1000, 1001, 1002]
    assert tuning_seeds([1000, 1002, 7], 2) == [1001, 1003]
    assert tuning_seeds(list(range(1000, 1010)), 1) == [1010]


def test_the_page_names_failures_ends_of_ranges_and_the_chosen_trial(folder: Path) -> None:
    trials, scores = fake(
        Score((0.5, 0.6), (1.0, 1.0)), FAILED, Score((0.8, 0.9), (0.5, 0.7)), Score((0.1, 0.1), (9, 9))
    )
    knobs = load_knobs(present())["supervised"][:1]
    outcome = Outcome("supervised", knobs, trials, scores, winner(trials, scores))
    text = page([outcome], {"dataset": "digits", "labels.fraction": None, "budget.passes": 40}, [1000, 1001])
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "| 0 | 0.003 | 55.00 \u00b1 7.07 | 1.000 | before the tuning |" in rows
    assert "| 1 | 0.01 | failed | | |" in rows
    assert "| 2 | 0.02 | 85.00 \u00b1 7.07 | 0.600 | chosen |" in rows
    assert "Conditions: dataset digits, budget.passes 40." in rows
    assert "- supervised: failed, and counted as the worst: trial 1 (tune-1)." in rows
    assert ends(trials[2], knobs) == [
        "supervised: supervised.learning_rate 0.02 is at the high end of its range [0.0003, 0.03]; widen the range in "
        "tuning.yaml and tune again"
    ]
    assert ends(trials[0], knobs) == []
    draw([outcome], Path("a.png"))
    draw([outcome], Path("b.png"))
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_the_name_of_a_trial_follows_from_all_that_its_scores_depend_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = present()
    knobs = own_knobs(load_knobs(now), ["representational"])["representational"]

    def names(changes: dict[str, Any], seeds: tuple[int, ...] = (1000,), data: str = "a") -> list[str]:
        return [trial.cell.name for trial in trials_of("representational", knobs, now | changes, [*seeds], 3, data)]

    first = names({})
    assert len(set(first)) == 3
    for other in ({"evaluate.batch_size": 8}, {"lambda": 0.5}, {"seeds": [4]}, {"modes": ["functional"]}):
        assert names(other) == first, other
    for other in ({"pretrain.batch_size": 32}, {"labels.per_class": 5}, {"finetune.weight_decay": 0.5}):
        assert not set(names(other)) & set(first), other
    assert not set(names({}, seeds=(1001,))) & set(first) and not set(names({}, data="b")) & set(first)
    winning = trials_of("representational", knobs, now, [1000], 3, "a")[2].settings
    assert names(winning)[0] == first[2], "trial 0 with a winner's settings is the winner's trial"
    monkeypatch.setattr(trials_module, "code_digest", lambda stage: "an edit")
    assert not set(names({})) & set(first)


def test_scores_of_all_digits_come_back_from_the_record(folder: Path) -> None:
    scores = {"b": Score((0.1 + 0.2, 1 / 3), (1e-17, 2.5)), "a": Score((1.0,), (float("inf"),))}
    Path("metrics/tables").mkdir(parents=True)
    (folder / trials_module.RECORD).write_text(json.dumps(recorded(scores)))
    assert read_record() == scores


class Fake:
    """In place of the queue: scores from the settings of each trial."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.commands: list[dict[str, Any]] = []
        replaced = {
            "dvc": lambda *arguments: "",
            "states": lambda: ({}, True),
            "finished": lambda: dict.fromkeys(self.ran, "commit"),
            "queue": self.queue,
            "start_workers": lambda jobs: None,
            "wait": lambda names, about: {name for name in names if name not in self.ran},
            "read_score": lambda trial, commit, dataset, seeds: self.score(trial, seeds),
        }
        for name, function in replaced.items():
            monkeypatch.setattr(tune_module, name, function)

    def queue(self, trials: list[Trial], now: dict[str, Any]) -> None:
        for trial in trials:
            self.commands.append(trial.cell.settings)
            if trial.settings.get("supervised.learning_rate", 0) < 0.02:  # otherwise it fails
                self.ran.append(trial.cell.name)

    def score(self, trial: Trial, seeds: list[int]) -> Score:
        assert seeds == [1000, 1001]
        value = -abs(next(iter(trial.settings.values())) - 0.5)
        return Score((1 + value / 100,) * 2, (1.0, 1.0))


def test_winners_are_written_with_comments_kept_and_a_second_call_runs_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8").replace("- functional\n", "- functional\n- frozen\n", 1)
    text = text.replace("supervised:\n  epochs:", "supervised:\n  # mine\n  epochs:", 1)
    text = text.replace("  weight_decay: 0.01", "  weight_decay: 1.0e-05", 3)
    Path("params.yaml").write_text(text, encoding="utf-8")
    before, queue = present(), Fake(monkeypatch)
    tune(Request([], 6, 2, 1, False))
    assert len(queue.commands) == 24
    first = Path("params.yaml").read_text(encoding="utf-8")
    params, after = load_params(), present()
    assert [tuned_trials(params, arm) for arm in params.arms] == [6, 6, 6, 6]
    assert "  # mine\n" in first
    missing = [line for line in text.splitlines() if "#" in line and line.split("#")[1] not in first]
    assert not missing, "comments are kept"

    entries = {entry.arm: entry for entry in params.tuning}
    changed = {key for key in before if before[key] != after[key]} - {"tuning"}
    assert changed == {key for entry in entries.values() for key in entry.start if entry.start[key] != after[key]}
    assert entries["supervised"].start["supervised.weight_decay"] == 1e-05
    share = after["budget.pretrain_share"]
    assert abs(share - 0.5) <= abs(0.667 - 0.5) and entries["frozen"].settings["budget.pretrain_share"] == share
    frozen = [command for command in queue.commands if command["modes"] == ["frozen"]]
    assert all(command["budget.pretrain_share"] == share for command in frozen), "the later arm has the winner"
    assert "budget.pretrain_share" not in entries["frozen"].start

    output = capsys.readouterr().out
    tune(Request([], 6, 2, 1, False))
    assert len(queue.commands) == 24 + output.count(" failed |"), "only what failed is tried again"
    assert Path("params.yaml").read_text(encoding="utf-8") == first and capsys.readouterr().out == output
    tune(Request(["functional"], 8, 2, 1, False))
    assert len(queue.commands) == 26 + output.count(" failed |"), "more trials continue the sequence"
    params = load_params()
    assert {arm: tuned_trials(params, arm) for arm in params.arms} == {
        "supervised": 6, "frozen": 6, "representational": 6, "functional": 8
    }  # fmt: skip
    with pytest.raises(ParamsError, match="--arms: unknown arm of modes 'distilled'"):
        tune(Request(["distilled"], 6, 2, 1, False))


def test_settings_count_as_tuned_under_their_conditions_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fake(monkeypatch)
    tune(Request(["supervised", "functional"], 4, 2, 1, False))
    content: Any = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"), "params.yaml")
    assert tuned_trials(parse_params(content), "representational") is None

    def trials(key: str, value: object) -> list[int | None]:
        changed: Any = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"), "params.yaml")
        *path, last = key.split(".")
        section = changed
        for part in path:
            section = section[part]
        section[last] = value
        return [tuned_trials(parse_params(changed), arm) for arm in ("supervised", "functional")]

    assert trials("cam.images", 3) == trials("seeds", [5, 6]) == trials("modes", ["functional"]) == [4, 4]
    assert trials("lambda", 0.123) == [4, None]
    for key, value in (("dataset", "usps"), ("labels.per_class", None), ("budget.passes", 41), ("ssl.method", "byol")):
        assert trials(key, value) == [None, None]
    assert trials("seeds", [0, 1000]) == [None, None], "the comparison may not use the seeds of the tuning"
    content["tuning"].append(content["tuning"][0])
    with pytest.raises(ParamsError, match="tuning: .*supervised appears more than once"):
        parse_params(content)
    content["tuning"][-1] = {**content["tuning"][0], "arm": "teacher"}
    with pytest.raises(
        ParamsError, match=r"tuning\[2\].arm: unknown value 'teacher'; choose from: supervised, imagenet, frozen"
    ):
        parse_params(content)


def test_the_queue_is_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from fkt.tuning import queue

    rows = [
        "Task     Name                       Created    Status",
        "ca58141  tune-supervised-298ef402ed  05:02 PM   Running",
        "3777a23  other                      May 03, 2025    Queued",
        "1177a23  tune-functional-0000000000  May 03, 2025    Failed",
        "",
        "Worker status: {} active, 1 idle",
    ]
    for active in (0, 1):
        monkeypatch.setattr(queue, "dvc", lambda *arguments, n=active: "\n".join(rows).format(n))
        expected = {"tune-supervised-298ef402ed": "Running", "tune-functional-0000000000": "Failed"}
        assert states() == (expected, active == 1)


@pytest.mark.slow
def test_dvc_runs_the_trials_and_a_second_call_runs_nothing(project: Project) -> None:
    project.python("fkt", "preset", "digits", "smoke")
    project.commit("smoke")
    call = ("fkt", "tune", "--trials", "2", "--seeds", "1", "--arms", "representational")
    project.python(*call)
    kept = {name: (project.root / name).read_bytes() for name in ("params.yaml", "metrics/tables/tuning.md")}
    experiments = project.dvc("exp", "list", "--name-only").stdout.split()
    assert len(experiments) == 2 and all(name.startswith("tune-") for name in experiments)
    record = json.loads((project.root / "metrics/tables/tuning.json").read_text())
    assert set(record) == set(experiments) and all(len(one["val_accuracy"]) == 1 for one in record.values())
    assert not list(project.root.glob("models/*")), "the workspace has no model, and no test image was opened"
    for name in experiments:
        log = project.dvc("queue", "logs", name).stdout
        assert "Running stage 'plan'" in log and not any(word in log for word in ("evaluate", "cam@", "report"))
    project.commit("tuned")
    project.python(*call)
    assert {name: (project.root / name).read_bytes() for name in kept} == kept
    listed = project.dvc("exp", "list", "--all-commits", "--name-only").stdout.split()
    assert sorted(listed) == sorted(experiments)
    assert project.python("fkt", "tune", "--show").stdout.startswith("# Settings chosen on validation images")
    params = parse_yaml(kept["params.yaml"].decode(), "params.yaml")
    trials = {entry["arm"]: entry["trials"] for entry in params["tuning"]}  # type: ignore[index]
    assert trials == {"supervised": 8, "functional": 8, "representational": 2}, "those of the default stay"
