"""The sweeps that come with the project: every cell is an experiment, every published figure has a source."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from fkt.params import load_params, parse_params
from fkt.params.reader import read_yaml
from fkt.sweeps.cells import cells_of, params_of
from fkt.sweeps.grid import fill
from fkt.sweeps.matching import gather
from fkt.sweeps.page import render
from fkt.sweeps.published import number
from fkt.sweeps.queueing import plan
from fkt.sweeps.spec import Sweep, available, load_sweep
from tests.conftest import ROOT

FOLDER = ROOT / "sweeps"
NAMES = [
    "balance", "batch-size", "depth", "efficiency", "false-negatives", "fkt", "good-crops", "labels", "lambda",
    "methods", "rotation", "transfer",
]  # fmt: skip


def sweep(name: str) -> Sweep:
    return load_sweep(name, FOLDER)


def shipped() -> dict[str, Any]:
    content = read_yaml(ROOT / "params.yaml")
    assert isinstance(content, dict)
    return content


def figures(name: str, table: int, source: int) -> dict[tuple[str, ...], float]:
    found = sweep(name).tables[table]
    return {(*row, *column): number(text)[0] for row, column, text in found.published[source].figures(len(found.rows))}


def test_the_sweeps_are_those_that_are_tested() -> None:
    assert available(FOLDER) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_an_experiment_and_dvc_makes_the_same_of_it(name: str, tmp_path: Path) -> None:
    content, cells = shipped(), cells_of(sweep(name), ROOT / "presets")
    planned = plan(name, cells, content, "params.yaml", [], [])
    assert len({one.name for one in planned}) == len(cells)
    for one in (planned[0], planned[-1]):
        copy = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
        apply_overrides(copy, [text for text in one.arguments if "=" in text])
        assert parse_params(read_yaml(copy)) == parse_params(params_of(one.cell, content, "params.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_without_any_experiment_a_page_shows_published_figures_alone(name: str) -> None:
    """Whatever number is in it was published; ours are missing."""
    found = sweep(name)
    nothing = gather(cells_of(found, ROOT / "presets"), [], [])
    page = render(found, [fill(table, found.axes, nothing) for table in found.tables], nothing, has_figure=False)
    rows = [line for line in page.split("\n") if re.match(r"\|.*\| +ours \|", line)]
    assert rows
    for row in rows:
        assert {text.strip() for text in row.split(" ours |", 1)[1].split("|")} <= {"missing", ""}


@pytest.mark.parametrize("name", NAMES)
def test_every_published_figure_has_a_paper_and_its_conditions(name: str) -> None:
    for table in sweep(name).tables:
        for published in table.published:
            assert re.search(r"arXiv:\d{4}\.\d{5}\b", published.source), published.source
            assert re.search(r"[Tt]able|protocol|reproduced", published.source), published.source
            values = [(number(text), column) for _, column, text in published.figures(len(table.rows))]
            assert values
            for (mean, deviation), column in values:
                assert 0 < mean <= 100 or column == ("epochs",)
                assert deviation is None or deviation < 1


def test_the_methods_are_all_that_there_are() -> None:
    levels = [settings["ssl.method"] for settings in sweep("methods").axes["method"].values()]
    assert sorted(levels) == sorted(key for key, value in shipped()["ssl"].items() if isinstance(value, dict))


def test_gains_that_the_papers_print_beside_their_figures_are_those_of_the_figures() -> None:
    fkt = figures("fkt", 0, 0)
    gains = {data: fkt[data, "functional", "accuracy"] - fkt[data, "representational", "accuracy"] for data, *_ in fkt}
    assert {data: round(gain, 2) for data, gain in gains.items()} == {
        "CIFAR-10, ResNet-50": 1.40, "Intel, ResNet-50": 0.52, "APTOS, ResNet-50": 0.22, "Intel, ResNet-18": 0.24,
    }  # fmt: skip
    gained = {"false-negatives": [2.14, 1.68, 1.09, 0.88], "good-crops": [4.98, 3.80, 2.60, 3.54]}
    for name, printed in gained.items():
        found = figures(name, 0, 0)
        rows = dict.fromkeys(row for row, _ in found)
        assert [round(found[row, "+ rotation"] - found[row, "base"], 2) for row in rows] == printed
    rotation = figures("rotation", 0, 0)
    for task in ("base", "+ rotation"):
        assert figures("false-negatives", 0, 0)["no labels", task] == rotation["simclr", task, "linear_accuracy"]


def test_a_sweep_reads_alike_for_every_reader_of_yaml() -> None:
    for name in NAMES:
        path = FOLDER / f"{name}.yaml"
        assert yaml.safe_load(path.read_text(encoding="utf-8")) == read_yaml(path)


def test_the_settings_of_the_paper_sweep_are_those_of_its_presets() -> None:
    content = shipped()
    cells = {cell.levels["data"]: cell for cell in cells_of(sweep("fkt"), ROOT / "presets")}
    aptos = parse_params(params_of(cells["APTOS, ResNet-50"], content, "params.yaml"))
    assert (aptos.dataset, aptos.cross_entropy.class_weights) == ("aptos", "none")
    assert (aptos.pretrain.epochs, aptos.finetune.epochs, aptos.joint.epochs) == (100, 100, 100)
    small = parse_params(params_of(cells["Intel, ResNet-18"], content, "params.yaml"))
    assert (small.dataset, small.model.backbone, small.joint.batch_size) == ("intel", "resnet18", 256)
    assert load_params(ROOT / "params.yaml").dataset == "digits"
