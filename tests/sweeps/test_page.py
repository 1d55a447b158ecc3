"""Tables, choices and figures of made-up results, against what a person would write by hand."""

import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from fkt.sweeps.experiments import Experiment
from fkt.sweeps.page import _draw_panel, add_costs, draw, page, panels_of, results, section
from fkt.sweeps.spec import Cell, Form, Sweep
from tests.sweeps.conftest import SMALL, Small

ACCURACY = {"0": 0.8012345, "1": 0.9, "3": 0.85}
VALIDATION = {"0": 0.81, "1": 0.83, "3": 0.8302}
Made = tuple[Sweep, list[Cell]]


@pytest.fixture
def made(small: Small) -> Made:
    return small(SMALL)


def ran(cells: list[Cell], dataset: str = "cifar10") -> dict[str, Experiment]:
    """Accuracy is 5 points better with all labels; its deviation is 0.1 points."""
    experiments = {}
    for cell in cells:
        level, more = cell.levels["lambda"], 0.05 * (cell.levels["labels"] == "all")
        section = {"accuracy": ACCURACY[level] + more, "accuracy_std": 0.001, "val_accuracy": VALIDATION[level] + more}
        params = {**cell.settings, "dataset": dataset, "budget.passes": 40}
        experiments[cell.name] = Experiment(cell.name, "success", "HEAD", params, {"functional": section})
    return experiments


def text_of(sweep: Sweep, cells: list[Cell], experiments: dict[str, Experiment]) -> str:
    return section(sweep.tables[0], *results(sweep.tables[0], cells, experiments))


def test_published_results_are_below_ours_and_marked(made: Made) -> None:
    sweep, cells = made
    experiments = ran(cells)
    del experiments["small-0-all"]
    text = text_of(sweep, cells, experiments)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n") if line.startswith("|")]
    val, test = "Validation accuracy %", "Test accuracy %"
    assert table[0] == ["lambda", "source", f"10 %, {val}", f"10 %, {test}", f"all, {val}", f"all, {test}"]
    assert table[2:] == [
        ["0", "ours", "81.00", "80.12 \u00b1 0.10", "missing", "missing"],
        ["1", "ours", "83.00", "90.00 \u00b1 0.10", "88.00", "95.00 \u00b1 0.10"],
        ["1", "published [1] cifar10", "", "81.5 \u00b1 0.25", "", "90"],
        ["3", "ours", "83.02", "85.00 \u00b1 0.10", "", ""],
        ["others'", "published [1] cifar10", "", "", "", "91.00"],
    ]
    assert text.endswith("published [1] cifar10: A paper, arXiv:0000.00001, Table 1. CIFAR-10 for 5 epochs.")


def test_results_on_other_datasets_are_shown_only_without_any_on_ours(made: Made) -> None:
    sweep, cells = made
    _, sources = results(sweep.tables[0], cells, ran(cells, "digits"))
    assert [line.split(":")[0] for line in sources] == ["published [1] cifar10", "published [2] stl10"]
    assert all(line.endswith("**Not our dataset: do not compare with ours.**") for line in sources)
    _, (source,) = results(sweep.tables[0], cells, ran(cells, "stl10"))
    assert source == "published [1] stl10: A paper, arXiv:0000.00001, Table 2. STL-10 for 5 epochs."


def test_the_choice_of_validation_is_reported_with_its_cost(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(*made, ran(made[1]))
    end = " This is an upper estimate, because the highest of several noisy means is too high."
    assert [line for line in text.split("\n") if line.startswith("- ")] == [
        "- labels 10 %: validation accuracy chooses lambda 3 (83.02 %). Test accuracy is 85.00 % with 3, and at most "
        f"90.00 %, with 1: the choice costs 5.00 points.{end}",
        "- labels all: validation accuracy chooses lambda 1 (88.00 %). Test accuracy is 95.00 % with 1, and at most "
        f"95.00 %, with 1: the choice costs 0.00 points.{end}",
    ]
    monkeypatch.setitem(VALIDATION, "0", VALIDATION["3"])
    assert "chooses lambda 0 or 3 (83.02 %). Test accuracy is 80.12 % with 0" in text_of(*made, ran(made[1]))
    assert "chooses" not in text_of(*made, {})


@pytest.mark.parametrize(
    ("metric", "numbers", "text"),
    [
        ("accuracy", {"accuracy": 0.93606}, "93.61"),
        ("accuracy", {}, "-"),
        ("difference", {"difference": 0.0427, "low": -0.045, "high": 0.117}, "+4.27 [-4.50, +11.70]"),
        ("image_passes", {"image_passes": 46080.0}, "46,080"),
        ("gflops", {"gflops": 1097.35}, "1.097"),
        ("quadratic_kappa", {"quadratic_kappa": 0.701, "quadratic_kappa_std": 0.02}, "0.701 \u00b1 0.020"),
    ],
)
def test_numbers_are_rounded(made: Made, metric: str, numbers: dict[str, float], text: str) -> None:
    sweep, (cell, *_) = made
    table = sweep.tables[0].model_copy(update={"metrics": [metric], "published": []})
    experiment = Experiment(cell.name, "success", "HEAD", {}, {"functional": numbers})
    row = results(table, [cell], {cell.name: experiment})[0].iloc[0]
    assert row["text"] == text
    if metric == "difference":
        assert (row["low"], row["mean"], row["high"]) == pytest.approx((-4.5, 4.27, 11.7))


def test_costs_are_summed_over_training_runs_and_averaged_over_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"mode": mode, "seed": seed, "stage": stage, "epochs": 5.0, "image_passes": 100, "gflops": 1.0, "seconds": seed}
        for mode in ("functional", "pretrained") for seed in (1, 2, 3) for stage in ("a", "b")
    ]  # fmt: skip
    experiment = Experiment("x", "success", "abc", {}, {"functional": {"accuracy": 0.5, "gflops": 9.0}})
    for text in ("", pd.DataFrame(rows).to_csv(index=False)):
        done = subprocess.CompletedProcess([], 0, text)
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
        assert experiment.summary == {"functional": {"accuracy": 0.5, "gflops": 9.0}}
        add_costs(experiment)
    costs = {"epochs": 10.0, "image_passes": 200.0, "gflops": 2.0, "seconds": 4.0, "seconds_std": 2.0}
    assert experiment.summary == {"functional": {"accuracy": 0.5, **costs}, "pretrained": costs}


def test_the_page_has_the_shared_conditions_and_names_what_differs(made: Made) -> None:
    sweep, cells = made
    experiments: dict[str, Any] = ran(cells)
    text = page(sweep, cells, experiments, ["TABLE"], "1 of 6 is missing.")
    assert text.startswith("# Small sweep\n\nWhich one?\n\n1 of 6 is missing.\n\nOurs: mean \u00b1 sample standard dev")
    assert "- Ours: dataset cifar10, labels.per_class None, budget.passes 40.\n- Read this.\n" in text
    assert "also differ" not in text
    experiments[cells[0].name].params["budget.passes"] = 60
    text = page(sweep, cells, experiments, [], "")
    assert "**These experiments also differ in what the sweep does not set: budget.passes.**" in text


def test_the_figure_shows_every_mean_and_spread_ours_apart_from_published(made: Made, tmp_path: Path) -> None:
    sweep, cells = made
    frame, _ = results(sweep.tables[0], cells, ran(cells))
    panels = list(panels_of(sweep.tables[0], frame))
    assert [title for _, title, _ in panels] == [
        "ours, 10 %", "ours, all", "published [1] cifar10, 10 %", "published [1] cifar10, all",
    ]  # fmt: skip
    assert panels[2][2][["lambda", "low", "mean", "high"]].to_numpy().tolist() == [["1", 81.25, 81.5, 81.75]]
    colors = set()
    for panel in panels:
        axes = Figure().subplots()
        _draw_panel(axes, *panel)
        part = panel[2].query("metric == 'Test accuracy %'").sort_values("lambda")
        *_, points = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == len(part))
        assert list(points.get_ydata()) == pytest.approx(list(part["mean"]))
        assert (points.get_markerfacecolor() == "white") == panel[1].startswith("published")
        *_, bar = (line for line in axes.lines if line.get_marker() != "o")
        assert (min(bar.get_ydata()), max(bar.get_ydata())) == pytest.approx(tuple(part[["low", "high"]].iloc[-1]))
        colors.add(points.get_color())
    assert len(colors) == 1, "a hue has the same color in all panels"
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    assert draw(sweep, [frame], first) and draw(sweep, [frame], second)
    assert first.read_bytes() == second.read_bytes() and len(first.read_bytes()) > 10_000
    assert not draw(sweep, [frame[frame["mean"].isna()]], tmp_path / "c.png") and not (tmp_path / "c.png").exists()


def test_a_logarithmic_axis_has_the_levels_at_their_numbers(made: Made) -> None:
    sweep, cells = made
    frame, _ = results(sweep.tables[0], cells, ran(cells))
    frame["lambda"] = frame["lambda"].cat.rename_categories({"0": "0.1 %", "1": "1 %", "3": "30 %"})
    form = Form(x="lambda", hue="metric", line=True, log=True)
    _, title, part = next(iter(panels_of(sweep.tables[0], frame)))
    axes = Figure().subplots()
    _draw_panel(axes, form, title, part)
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1 %", "1 %", "30 %"]
    *_, points = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 3)
    assert list(points.get_xdata()) == pytest.approx([0.1, 1, 30])
    expected = part.query("metric == 'Test accuracy %'").sort_values("lambda")["mean"]
    assert list(points.get_ydata()) == pytest.approx(list(expected))
