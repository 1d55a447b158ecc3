"""Sweep files: every mistake in one is answered with the file, the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fkt.core.errors import ParamsError
from fkt.sweeps.cells import cells_of
from fkt.sweeps.spec import load_sweep
from tests.sweeps.small import TEXT, small, written


def test_cells_are_the_product_of_the_axes_but_for_what_is_excluded(tmp_path: Path) -> None:
    _, cells = small(tmp_path)
    assert [str(cell) for cell in cells] == [
        "lambda 0, labels 10 %", "lambda 0, labels all", "lambda 1, labels 10 %", "lambda 1, labels all",
        "lambda 3, labels 10 %",
    ]  # fmt: skip
    assert cells[3].settings == {
        "modes": ["functional"], "labels.per_class": None, "lambda": 1.0, "labels.fraction": None,
    }  # fmt: skip
    assert [cell.name("small") for cell in cells][:2] == ["small-0-10pct", "small-0-all"]


def test_presets_are_laid_in_order_and_below_what_a_level_says(tmp_path: Path) -> None:
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "one.yaml").write_text("dataset: a\nmodel:\n  width: 1\n  depth: 1\n")
    (presets / "two.yaml").write_text("model:\n  depth: 2\n")
    text = TEXT.replace('"0": {lambda: 0.0}', '"0": {presets: [one, two], model.width: 3, lambda: 0.0}')
    for level in ('"1"', '"3"'):
        text = text.replace(f"{level}: {{lambda", f"{level}: {{dataset: b, model.width: 1, model.depth: 1, lambda")
    sweep = load_sweep("small", written(tmp_path / "sweeps", text))
    settings = cells_of(sweep, presets)[0].settings
    assert (settings["dataset"], settings["model.width"], settings["model.depth"]) == ("a", 3, 2)
    with pytest.raises(ParamsError, match=r"unknown preset 'one'; choose from: two"):
        (presets / "one.yaml").unlink()
        cells_of(sweep, presets)


MISTAKES = [
    ("title: Small sweep\n", "", "small.yaml: title: Field required"),
    ("title: Small sweep\n", "title: Small\ncolour: red\n", "small.yaml: colour: Extra inputs are not permitted"),
    ("rows: [lambda]", "rows: [lamda]", "table 'Accuracy': unknown dimension 'lamda'; choose from: .*'lambda'"),
    ("columns: [labels, metric]", "columns: [metric]", "labels has 2 levels and stands neither in rows nor in columns"),
    ("columns: [labels, metric]", "columns: [labels, labels]", "none of them twice"),
    (
        "metrics: [val_accuracy, accuracy]",
        "metrics: [accuracyy]",
        "unknown metric 'accuracyy'; .*did you mean 'accuracy'",
    ),
    ("hue: metric", "hue: metrics", "unknown hue 'metrics'"),
    ("x: lambda", "x: mode", "unknown x, which must be a dimension of the table, 'mode'"),
    ("choice: {axis: lambda", "choice: {axis: lamda", "unknown axis 'lamda'"),
    ("judge: accuracy", "judge: test", "unknown metric 'test'"),
    ('exclude:\n- {lambda: "3"', 'exclude:\n- {lambda: "4"', "unknown level of lambda '4'; choose from: 0, 1, 3"),
    ("labels: all}\n", "label: all}\n", "unknown axis 'label'; choose from: labels, lambda; did you mean 'labels'"),
    ('accuracy: "90"', "accuracy: 90", "published '1 / all / accuracy' is 90; write it as printed, in quotes"),
    ('accuracy: "90"', 'accuracy: "about 90"', "is 'about 90'; write it as printed"),
    ('all: {accuracy: "70.1"}', 'all: "70.1"', "published '1 / all' is not nested by 1 rows and 2 columns"),
    ('all: {accuracy: "70.1"}', 'half: {accuracy: "70.1"}', "unknown labels of a published figure 'half'"),
    ("  - source: A paper, arXiv:0000.00001, Table 2\n    cond", "  - cond", r"published.1.source: Field required"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_in_the_form_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ParamsError, match=message):
        small(tmp_path, TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1": {lambda: 1.0}', '"1": {seeds: [1]}', "does not set seeds, which another cell sets"),
        ('"1": {lambda: 1.0}', '"1": {lambda: 0.0}', "are the same experiment"),
        ("all: {labels.fraction: null}", "all: {lambda: 0.5}", "lambda is set by labels and by another axis"),
        ("all: {labels.fraction: null}", "10%: {labels.fraction: null}", "two experiments would be called small-0-10"),
    ],
)
def test_cells_that_could_not_be_told_apart_later_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TEXT.replace(old, new).replace('exclude:\n- {lambda: "3", labels: all}\n', "")
    text = text[: text.index("  published:")]
    with pytest.raises(ParamsError, match=message):
        small(tmp_path, text)


def test_an_unknown_sweep_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"unknown sweep 'smalle'; choose from: small; did you mean 'small'\?"):
        load_sweep("smalle", written(tmp_path))
    with pytest.raises(ParamsError, match="there is no sweep in "):
        load_sweep("small", tmp_path / "nowhere")
