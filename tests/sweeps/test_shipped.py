"""The sweeps that come with the project: every cell is an experiment, every published result has its source."""

import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from fkt.params import load_params
from fkt.params.presets import flat
from fkt.params.reader import read_yaml
from fkt.sweeps.experiments import command, params_of, present
from fkt.sweeps.page import panels_of, results, section
from fkt.sweeps.spec import leaves, load_sweep
from tests.conftest import ROOT

NAMES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def figures(name: str, source: int = 0) -> dict[tuple[str, ...], float]:
    """Published results of the first table of a sweep."""
    published = load_sweep(name).tables[0].published[source]
    return {labels: float(text.split(" ")[0]) for labels, text in leaves(published.values)}


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_an_experiment_and_dvc_makes_the_same_of_it(name: str, tmp_path: Path) -> None:
    cells = load_sweep(name).cells()
    params = [params_of(cell, present()) for cell in cells]
    assert len({repr(sorted(one.items())) for one in params}) == len(cells)
    for cell, wanted in ((cells[0], params[0]), (cells[-1], params[-1])):
        copy = Path(shutil.copy("params.yaml", tmp_path / "params.yaml"))
        apply_overrides(copy, command(cell, present())[6::2])
        assert dict(flat(read_yaml(copy))) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_without_experiments_tables_and_figures_have_published_results_only(name: str) -> None:
    sweep = load_sweep(name)
    for table in sweep.tables:
        frame, sources = results(table, sweep.cells(), {})
        text = section(table, frame, sources)
        assert set(re.findall(r"\| ours +\|(.*)", text)) == set() if not table.modes else "missing" in text
        assert set(frame["text"][frame["source"] == "ours"]) <= {"missing"}
        panels = list(panels_of(table, frame))
        assert bool(panels) == bool(table.published and table.figure)
        assert all(title.startswith("published [") for _, title, _ in panels)


@pytest.mark.parametrize("name", NAMES)
def test_every_published_result_has_a_paper_and_its_conditions(name: str) -> None:
    for table in load_sweep(name).tables:
        for published in table.published:
            assert re.search(r"arXiv:\d{4}\.\d{5}\b", published.source), published.source
            assert re.search(r"[Tt]able|protocol|reproduced", published.source), published.source
            found = leaves(published.values)
            assert found
            for labels, text in found:
                mean, _, deviation = text.partition(" +- ")
                assert 0 < float(mean) <= 100 or labels[-1] == "epochs"
                assert float(deviation or 0) < 1


def test_the_methods_are_all_that_there_are() -> None:
    levels = [settings["ssl.method"] for settings in load_sweep("methods").axes["method"].values()]
    content = read_yaml(Path("params.yaml"))
    assert isinstance(content, dict)
    assert sorted(levels) == sorted(key for key, value in content["ssl"].items() if isinstance(value, dict))


def test_the_gains_that_the_papers_print_are_those_of_their_results() -> None:
    fkt = figures("fkt")
    gains = {data: fkt[data, "functional", "accuracy"] - fkt[data, "representational", "accuracy"] for data, *_ in fkt}
    assert {data: round(gain, 2) for data, gain in gains.items()} == {
        "CIFAR-10, ResNet-50": 1.40, "Intel, ResNet-50": 0.52, "APTOS, ResNet-50": 0.22, "Intel, ResNet-18": 0.24,
    }  # fmt: skip
    gained = {"false-negatives": [2.14, 1.68, 1.09, 0.88], "good-crops": [4.98, 3.80, 2.60, 3.54]}
    for name, printed in gained.items():
        found = figures(name)
        rows = dict.fromkeys(row for row, _ in found)
        assert [round(found[row, "+ rotation"] - found[row, "base"], 2) for row in rows] == printed
    for task in ("base", "+ rotation"):
        assert figures("false-negatives")["no labels", task] == figures("rotation")["simclr", task, "linear_accuracy"]


def test_the_sweep_of_the_paper_has_the_settings_of_its_presets() -> None:
    params = {cell.levels["data"]: params_of(cell, present()) for cell in load_sweep("fkt").cells()}
    aptos, small = params["APTOS, ResNet-50"], params["Intel, ResNet-18"]
    assert (aptos["dataset"], aptos["cross_entropy.class_weights"]) == ("aptos", "none")
    assert [aptos[f"{stage}.epochs"] for stage in ("pretrain", "finetune", "joint")] == [100, 100, 100]
    assert (small["dataset"], small["model.backbone"], small["joint.batch_size"]) == ("intel", "resnet18", 256)
    assert load_params().dataset == "digits"
