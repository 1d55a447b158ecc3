"""What is given to ``dvc exp run -S`` and read from ``dvc exp show --json``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from fkt.core.errors import ParamsError, UserError
from fkt.sweeps.experiments import command, override, params_of, present, read_experiments
from tests.sweeps.conftest import SMALL, Shows, Small, entry

SUMMARY = {"functional": {"accuracy": 0.9, "seeds": 3}}
VALUES: dict[str, Any] = {
    "lambda": 0.0,
    "seeds": [0, 1, 20],
    "modes": ["functional"],
    "dataset": "cifar10",
    "labels.per_class": None,
    "labels.fraction": 0.015,
    "pretrain.learning_rate": 1.5e-05,
    "prepare.download": True,
    "prepare.source": "a folder, with {all}: [it's] = $HOME, b\u00e9",
    "prepare.on_corrupt": "two words",
    "model.backbone": "null",
    "ssl.method": "True",
    "augment.labelled": [],
    "augment.views": [
        {"name": "RandomResizedCrop", "scale": [0.08, 1.0], "ratio": [0.75, 1.333], "p": 1.0},
        {"name": "ToGray", "p": 0.2},
    ],
    "budget.passes": -3,
    "report.confidence": "0.95",
}


@pytest.mark.parametrize("key", VALUES)
def test_dvc_writes_the_value_that_was_meant_and_nothing_else(small: Small, key: str) -> None:
    before, change = present(), f"{key}={override(VALUES[key])}"
    assert len(get_hydra_sweeps({"params.yaml": [change]})) == 1, "not a choice of several"
    apply_overrides("params.yaml", [change])
    after = present()
    assert after[key] == VALUES[key] and type(after[key]) is type(VALUES[key])
    assert after | {key: before[key]} == before


@pytest.mark.parametrize("value", [1e-05, 1e16, float("inf"), [1.0, 1e-07], 'a "quote"', "back\\slash", "two\nlines"])
def test_a_value_that_dvc_cannot_write_is_refused(value: object) -> None:
    with pytest.raises(ParamsError, match="which YAML reads as text; add digits|cannot set .*; remove"):
        override(value)


def test_a_command_sets_what_params_yaml_does_not_have(small: Small) -> None:
    _, cells = small(SMALL)
    expected = ["modes=[functional]", "labels.per_class=null", "lambda=0.0", "labels.fraction=0.1"]
    assert command(cells[0], present()) == [
        *["exp", "run", "--queue", "-n", "small-0-10pct"],
        *(part for change in expected for part in ("-S", change)),
    ]
    assert command(cells[3], present())[5:] == ["-S", "modes=[functional]", "-S", "labels.per_class=null"]
    params = params_of(cells[0], present())
    apply_overrides("params.yaml", expected)
    assert present() == params


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lamda": 1.0}, r"small-0-10pct: params.yaml has no key 'lamda'; did you mean 'lambda'\?"),
        ({"lambda": -1.0}, r"small-0-10pct: params.yaml: lambda: -1.0 is out of range; give at least 0"),
        ({"transfer.datasets": ["mnits"]}, r"small-0-10pct: transfer.datasets\[0\]: unknown dataset 'mnits'"),
    ],
)
def test_a_cell_that_is_not_an_experiment_is_named(small: Small, settings: dict[str, Any], message: str) -> None:
    _, cells = small(SMALL)
    with pytest.raises(ParamsError, match=message):
        params_of(replace(cells[0], settings=settings), present())


def test_an_unfinished_experiment_shows_metrics_that_are_not_its_own(small: Small, shows: Shows) -> None:
    _, cells = small(SMALL)
    shows([entry(cells[0], SUMMARY, state=None), entry(cells[1], SUMMARY, state="queued"), entry(cells[2], {})])
    found = read_experiments()
    states = {name: one.state for name, one in found.items()}
    assert states == {"small-0-10pct": "success", "small-0-all": "queued", "small-1-10pct": "failed"}
    assert found["small-0-10pct"].summary == SUMMARY and found["small-0-10pct"].rev == "commit of small-0-10pct"
    assert found["small-0-10pct"].params == present() | cells[0].settings
    assert found["small-0-all"].summary == {}


def test_of_several_with_a_name_the_one_that_is_nearest_to_a_result_is_taken(small: Small, shows: Shows) -> None:
    _, cells = small(SMALL)
    for states, state in ((["failed", "success", "queued"], "success"), (["queued", "failed"], "queued")):
        shows([entry(cells[0], SUMMARY, state=one) for one in states])
        assert [one.state for one in read_experiments().values()] == [state]


def test_the_message_of_dvc_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="^'dvc exp show' failed: you are not inside of a DVC repository"):
        read_experiments()
