"""Tables, answers and figures from made-up results, against what a person would write by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from fkt.sweeps.answers import answers
from fkt.sweeps.cells import Cell
from fkt.sweeps.figure import draw
from fkt.sweeps.grid import fill
from fkt.sweeps.matching import Gathered
from fkt.sweeps.page import render
from fkt.sweeps.panels import panels_of
from fkt.sweeps.published import number
from fkt.sweeps.spec import Sweep
from fkt.sweeps.tables import grid_table
from fkt.sweeps.values import Value, value_of
from fkt.sweeps.written import as_printed, written
from tests.sweeps.fabricated import Summary, gathered
from tests.sweeps.small import TEXT, small

ACCURACY = {"0": 0.8012345, "1": 0.9, "3": 0.85}
VALIDATION = {"0": 0.81, "1": 0.83, "3": 0.8302}


def summary(cell: Cell) -> Summary:
    """Better with all labels by 5 points; the deviation is a tenth of a percent, over 3 seeds."""
    level, more = cell.levels["lambda"], 0.05 * (cell.levels["labels"] == "all")
    section = {"accuracy": ACCURACY[level] + more, "accuracy_std": 0.001, "val_accuracy": VALIDATION[level] + more}
    return {"functional": {**section, "seeds": 3}}


@pytest.fixture
def made(tmp_path: Path) -> tuple[Sweep, list[Cell]]:
    return small(tmp_path)


def results(cells: list[Cell], dataset: str = "cifar10") -> Gathered:
    return gathered(cells, summary, others={"dataset": dataset, "seeds": [0, 1, 2]})


def test_ours_stand_beside_published_figures_of_the_same_dataset(made: tuple[Sweep, list[Cell]]) -> None:
    sweep, cells = made
    found = results([cell for cell in cells if cell.levels != {"lambda": "0", "labels": "all"}])
    grid = fill(sweep.tables[0], sweep.axes, Gathered(cells, {0: found.found[0], **shifted(found)}, 0, [], {}))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in grid_table(grid).split("\n")]
    assert lines[0] == [
        "Lambda", "Source", "10 %, Validation accuracy %", "10 %, Test accuracy %", "all, Validation accuracy %",
        "all, Test accuracy %",
    ]  # fmt: skip
    plus = "\u00b1"
    assert lines[2:] == [
        ["0", "ours", "81.00 (3)", f"80.12 {plus} 0.10 (3)", "missing", "missing"],
        ["1", "ours", "83.00 (3)", f"90.00 {plus} 0.10 (3)", "88.00 (3)", f"95.00 {plus} 0.10 (3)"],
        ["1", "published [1] cifar10", "", f"81.5 {plus} 0.25", "", "90"],
        ["3", "ours", "83.02 (3)", f"85.00 {plus} 0.10 (3)", "", ""],
        ["others'", "published [1] cifar10", "", "", "", "91.00"],
    ]


def shifted(found: Gathered) -> dict[int, object]:
    """Positions among all cells of experiments that were made of all but the second."""
    return {at + 1: experiment for at, experiment in found.found.items() if at > 0}


def test_published_figures_of_other_datasets_are_shown_apart_and_said_not_to_compare(
    made: tuple[Sweep, list[Cell]],
) -> None:
    sweep, cells = made
    grid = fill(sweep.tables[0], sweep.axes, results(cells, "digits"))
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in grid_table(grid).split("\n")[2:]]
    assert rows == [
        ["0", "ours"], ["1", "ours"], ["3", "ours"], ["1", "published [1] cifar10"],
        ["others'", "published [1] cifar10"], ["1", "published [2] stl10"],
    ]  # fmt: skip
    page = render(sweep, [grid], results(cells, "digits"), has_figure=False)
    assert "**None of the published figures is of our dataset" in page
    assert "published [2] stl10: A paper, arXiv:0000.00001, Table 2. STL-10 for 5 epochs." in page
    near = render(sweep, [fill(sweep.tables[0], sweep.axes, results(cells))], results(cells), has_figure=False)
    assert "stl10" not in near and "do not compare" not in near


def test_the_choice_of_validation_is_told_with_what_it_costs(made: tuple[Sweep, list[Cell]]) -> None:
    sweep, cells = made
    plus = "\u00b1"
    assert answers(sweep.tables[0], sweep.axes, results(cells)) == [
        f"functional, labels 10 %: validation accuracy chooses lambda 3 with 83.02 (3); the test accuracy there is "
        f"85.00 {plus} 0.10 (3). The best in hindsight is lambda 1 with 90.00 {plus} 0.10 (3), a maximum over 3 noisy "
        "means, so an upper estimate: choosing by validation costs 5.00 points.",
        f"functional, labels all: validation accuracy chooses lambda 1 with 88.00 (3); the test accuracy there is "
        f"95.00 {plus} 0.10 (3). No other is better on test images: choosing by validation costs nothing. "
        "Only 2 of 3 levels of lambda are there.",
    ]


def test_a_tie_on_validation_images_is_told(made: tuple[Sweep, list[Cell]], monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, cells = made
    monkeypatch.setitem(VALIDATION, "0", VALIDATION["3"])
    said = answers(sweep.tables[0], sweep.axes, results(cells))[0]
    assert "chooses lambda 0 with 83.02" in said and "On validation images 0, 3 tie; the first is taken." in said


def test_reaching_another_arm_is_told_with_what_it_took(tmp_path: Path) -> None:
    reach = "reach: {axis: labels, base: 10 %, other: all, along: lambda, by: accuracy, costs: [epochs, seconds]}"
    text = TEXT.replace("choice: {axis: lambda, by: val_accuracy, judge: accuracy}", reach)
    sweep, cells = small(tmp_path, text.replace('exclude:\n- {lambda: "3", labels: all}\n', ""))

    def costs(cell: Cell) -> str:
        epochs = 10.0 * (1 + ["0", "1", "3"].index(cell.levels["lambda"]))
        lines = [f"functional,{seed},{stage},{epochs},{epochs + seed}" for seed in (0, 1, 2) for stage in ("a", "b")]
        return "\n".join(["mode,seed,stage,epochs,seconds", *lines, "other,0,a,99,99"]) + "\n"

    found = gathered(cells, summary, others={"dataset": "cifar10"}, costs=costs)
    plus = "\u00b1"
    assert answers(sweep.tables[0], sweep.axes, found) == [
        f"functional: 10 % ends with a test accuracy of 85.00 {plus} 0.10 (3) at lambda 3; all is first there at 0 "
        f"(85.12 {plus} 0.10 (3); on the means, without a test): epochs 20.0 instead of 60.0 (0.33 times), "
        f"seconds 22.0 {plus} 2.0 instead of 62.0 {plus} 2.0 (0.35 times)."
    ]
    other = sweep.tables[0].model_copy(
        update={"reach": sweep.tables[0].reach.model_copy(update={"base": "all", "other": "10 %"})}
    )
    partly = Gathered(cells, {at: one for at, one in found.found.items() if at != 0}, 0, [], {})
    assert answers(other, sweep.axes, partly) == [
        f"functional: all ends with a test accuracy of 90.00 {plus} 0.10 (3) at lambda 3; 10 % is first there at 1 "
        f"(90.00 {plus} 0.10 (3); on the means, without a test): epochs 40.0 instead of 60.0 (0.67 times), "
        f"seconds 42.0 {plus} 2.0 instead of 62.0 {plus} 2.0 (0.68 times). Only 2 of 3 levels of lambda are there."
    ]
    for experiment in partly.found.values():
        experiment.sections["functional"]["accuracy"] += 0.01 * (experiment.params["labels.fraction"] is None)
    assert answers(other, sweep.axes, partly)[0].endswith(
        "10 % reaches that at none of 2 levels. Only 2 of 3 levels of lambda are there."
    )
    experiment = next(iter(found.found.values()))
    assert value_of(experiment, "functional", "seconds") == Value(22.0, 2.0, 3)
    assert value_of(experiment, "supervised", "seconds") is None


def test_other_conditions_are_told_above_everything(made: tuple[Sweep, list[Cell]]) -> None:
    sweep, cells = made
    found = results(cells)
    found.found[0].params["budget.passes"] = 60
    page = render(sweep, [], found, has_figure=True)
    first = page.index("`budget.passes`: 60 in (lambda 0, labels 10 %); absent in 4 of 5 experiments")
    assert page.index("differ in more than the sweep's settings") < first < page.index("![Small sweep](small.png)")
    assert "- dataset: cifar10\n" in page and "- Read this." in page
    assert "differ in more" not in render(sweep, [], results(cells), has_figure=True)


def test_conditions_name_the_settings_that_are_out_of_the_ordinary(made: tuple[Sweep, list[Cell]]) -> None:
    sweep, cells = made
    ordinary = {
        "dataset": "cifar10", "joint.balance": "fixed", "joint.ce_on": "image", "joint.epochs": None,
        "ssl.rotation_weight": 0.0, "pretrain.epochs": 9, "joint.batch_size": 64,
    }  # fmt: skip
    changed = ordinary | {
        "joint.balance": "gradnorm",
        "joint.epochs": 7,
        "ssl.rotation_weight": 0.2,
        "joint.ce_on": "views",
    }

    def conditions(others: dict[str, object]) -> set[str]:
        page = render(sweep, [], gathered(cells, summary, others=others), has_figure=False)
        return set(page.split("## Conditions of ours\n\n")[1].split("\n\n")[0].split("\n"))

    assert conditions(ordinary) == {"- dataset: cifar10", "- labels.per_class: null", "- joint.batch_size: 64"}
    assert conditions(changed) - conditions(ordinary) == {
        "- joint.balance: gradnorm", "- joint.epochs: 7", "- ssl.rotation_weight: 0.2", "- joint.ce_on: views",
    }  # fmt: skip


def test_what_is_missing_is_listed_and_made_up_by_nothing(made: tuple[Sweep, list[Cell]]) -> None:
    sweep, cells = made
    found = results(cells)
    partly = Gathered(cells, {0: found.found[0]}, 4, ["x: it is stale"], {2: "failed: small-1-10pct"})
    page = render(sweep, [fill(sweep.tables[0], sweep.axes, partly)], partly, has_figure=False)
    assert "## Missing: 4 of 5 experiments" in page
    assert (
        "- lambda 1, labels 10 %: failed: small-1-10pct (`dvc queue logs` with this name says why)\n" in page
        and "- left out: x: it is stale" in page
    )
    assert "Others with the very same parameters, left out: 4." in page
    assert "90.00" not in page and page.count("missing ") >= 5


def test_figures_show_every_number_once_ours_apart_from_published(
    made: tuple[Sweep, list[Cell]], tmp_path: Path
) -> None:
    sweep, cells = made
    grid = fill(sweep.tables[0], sweep.axes, results(cells))
    panels = {panel.title: panel for panel in panels_of(grid)}
    assert list(panels) == [
        "ours, labels 10 %", "ours, labels all", "published [1] cifar10, labels 10 %",
        "published [1] cifar10, labels all",
    ]  # fmt: skip
    ours = [(point.x, point.hue, round(point.mean, 4)) for point in panels["ours, labels 10 %"].points]
    assert sorted(ours) == sorted(
        [(x, "Test accuracy %", round(100 * mean, 4)) for x, mean in ACCURACY.items()]
        + [(x, "Validation accuracy %", round(100 * mean, 4)) for x, mean in VALIDATION.items()]
    )
    theirs = panels["published [1] cifar10, labels 10 %"]
    assert [(point.x, point.mean, point.above) for point in theirs.points] == [("1", 81.5, 0.25)]
    assert theirs.is_published and theirs.unit == "Test accuracy %"
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    assert draw([grid], "x", first) and draw([grid], "x", second)
    assert first.read_bytes() == second.read_bytes() and len(first.read_bytes()) > 10_000
    assert not draw([fill(sweep.tables[0], sweep.axes, Gathered(cells, {}, 0, [], {}))], "x", tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (Value(0.93604, 0.001, 3), "accuracy", "93.60 \u00b1 0.10 (3)"),
        (Value(0.93606, None, 1), "accuracy", "93.61 (1)"),
        (Value(0.0427, None, None, -0.045, 0.117), "difference", "+4.27 [-4.50, +11.70]"),
        (Value(46080.0, 0.0, 3), "image_passes", "46,080"),
        (Value(1097.35, 0.0, 3), "gflops", "1.097"),
        (Value(41.26, 0.31, 3), "seconds", "41.3 \u00b1 0.3"),
        (Value(0.701, 0.02, 3), "quadratic_kappa", "0.701 \u00b1 0.020 (3)"),
    ],
)
def test_numbers_are_rounded_to_what_their_metric_is_good_for(value: Value, metric: str, text: str) -> None:
    assert written(value, metric) == text


def test_published_figures_keep_the_digits_that_were_printed() -> None:
    assert as_printed("92.20 +- 0.10") == "92.20 \u00b1 0.10" and as_printed("90") == "90"
    assert number("92.20 +- 0.10") == (92.2, 0.1) and number("90") == (90.0, None)
