"""Sweep files: their cells, and a message for every mistake."""

from pathlib import Path

import pytest

from fkt.core.errors import ParamsError
from fkt.sweeps.spec import load_sweep
from tests.sweeps.conftest import SMALL, Small


def test_cells_are_all_combinations_except_those_that_are_excluded(small: Small) -> None:
    _, cells = small(SMALL)
    names = ["small-0-10pct", "small-0-all", "small-1-10pct", "small-1-all", "small-3-10pct"]
    assert [cell.name for cell in cells] == names
    assert cells[3].levels == {"lambda": "1", "labels": "all"}
    settings = {"modes": ["functional"], "labels.per_class": None, "lambda": 1.0, "labels.fraction": None}
    assert cells[3].settings == settings


def test_a_level_with_presets_sets_all_parameters_of_these(small: Small) -> None:
    _, cells = small(SMALL.replace('"0": {lambda: 0.0}', '"0": {presets: [cifar10, laptop], lambda: 0.0}'))
    first, last = cells[0].settings, cells[-1].settings
    assert (first["dataset"], first["budget.passes"], first["labels.fraction"]) == ("cifar10", 20, 0.1)
    assert len(first) > 150 and len(last) == 4
    with pytest.raises(ParamsError, match="unknown preset 'laptob'.* did you mean 'laptop'"):
        small(SMALL.replace("{lambda: 0.0}", "{presets: [laptob], lambda: 0.0}"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: Small sweep\n", "", "small.yaml: title: missing"),
        ("figure: {x: lambda,", "figure: {x: lambda, color: red,", r"tables\[0\].figure.color: unknown key"),
        ("rows: [lambda]", "rows: [lamda]", "table 'Accuracy': unknown dimension 'lamda'; choose from: .*'lambda'"),
        ("columns: [labels, metric]", "columns: [metric]", "labels has 2 levels; put it once in rows or in columns"),
        ("columns: [labels, metric]", "columns: [labels, lambda, metric]", "lambda has 3 levels; put it once in rows"),
        ("  modes: [functional]\n", "", "give modes and metrics, or neither of them and published results"),
        ("line: true}", "line: true, log: true}", "lambda '0' is not a number above 0, which log: true needs"),
        ("hue: metric", "hue: metrics", "unknown dimension of the figure 'metrics'; choose from: labels, lambda, metr"),
        ("metrics: [val_accuracy, ", "metrics: [recall, ", "metric of a table with a choice 'val_accuracy'"),
        ('exclude:\n- {lambda: "3"', 'exclude:\n- {lambda: "4"', "unknown level of lambda '4'; choose from: 0, 1, 3"),
        ('accuracy: "90"', "accuracy: 90", "published '1 / all / accuracy' is 90; write it as '92.20' or"),
        ('accuracy: "90"', 'accuracy: "about 90"', "is 'about 90'; write it as"),
        ('all: {accuracy: "70.1"}', 'all: "70.1"', "published '1 / all' is not nested by lambda, labels, metric"),
        ('all: {accuracy: "70.1"}', 'half: {accuracy: "70.1"}', "unknown labels of a published result 'half'"),
        ('"1": {lambda: 1.0}', '"1": {seeds: [1]}', "the levels of lambda do not all set the same keys"),
        ("modes: [functional],", "modes: [functional], lambda: 1.0,", "lambda is set by lambda and also elsewhere"),
        ('"3"', '"1."', "two experiments have the name small-1-10pct; change a label"),
    ],
)
def test_a_mistake_is_reported_with_its_place(small: Small, old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ParamsError, match=message):
        small(SMALL.replace(old, new))


def test_an_unknown_sweep_and_another_folder_are_reported(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    small(SMALL)
    with pytest.raises(ParamsError, match=r"unknown sweep 'smalle'; choose from: small; did you mean 'small'\?"):
        load_sweep("smalle")
    monkeypatch.chdir(Path("sweeps"))
    with pytest.raises(ParamsError, match=r"no sweeps here \(sweeps/\*.yaml\); run from the project's root"):
        load_sweep("small")
