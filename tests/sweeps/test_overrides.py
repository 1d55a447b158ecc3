"""What is given to ``dvc exp run -S``, against DVC itself: what its own parser writes, our reader must read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from fkt.core.errors import ParamsError
from fkt.params.reader import read_yaml
from fkt.sweeps.cells import Cell, params_of
from fkt.sweeps.overrides import in_hydra, override
from tests.conftest import ROOT

VALUES: dict[str, Any] = {
    "lambda": 0.0,
    "seeds": [0, 1, 20],
    "modes": ["functional"],
    "dataset": "cifar10",
    "labels.per_class": None,
    "labels.fraction": 0.015,
    "pretrain.learning_rate": 1.5e-05,
    "prepare.download": True,
    "prepare.source": "a folder, with {all}: [it's] \\ 'quoted' = $HOME",
    "prepare.on_corrupt": "both \\' and \\\\' and at the end \\",
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


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def at(content: Any, key: str) -> object:
    for part in key.split("."):
        content = content[part]
    return content


@pytest.mark.parametrize("key", VALUES)
def test_dvc_writes_the_value_that_was_meant(params: Path, key: str) -> None:
    before = read_yaml(params)
    apply_overrides(params, [override(key, VALUES[key])])
    after = read_yaml(params)
    assert at(after, key) == VALUES[key] and type(at(after, key)) is type(VALUES[key])
    section = after if "." not in key else at(after, key.rsplit(".", 1)[0])
    section[key.rsplit(".", 1)[-1]] = at(before, key)  # type: ignore[index]
    assert after == before, "nothing else has changed"


def test_no_value_is_taken_for_a_choice_of_several() -> None:
    overrides = [override(key, value) for key, value in VALUES.items()]
    assert len(get_hydra_sweeps({"params.yaml": overrides})) == 1


@pytest.mark.parametrize("value", [1e-05, 1e16, float("inf"), [1.0, 1e-07]])
def test_a_number_that_yaml_would_read_as_text_is_refused(value: object) -> None:
    with pytest.raises(ParamsError, match="reads as text; choose a number with other digits"):
        in_hydra(value)


def test_the_settings_of_a_cell_give_what_dvc_gives(params: Path) -> None:
    settings = {"lambda": 0.3, "labels.per_class": None, "labels.fraction": 0.1, "seeds": [4], "augment.labelled": []}
    content = read_yaml(params)
    assert isinstance(content, dict)
    ours = params_of(Cell({}, settings, frozenset(settings)), content, "params.yaml")
    apply_overrides(params, [override(key, value) for key, value in settings.items()])
    assert read_yaml(params) == ours != content


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lamda": 1.0}, r"params.yaml with lambda 1: no key 'lamda'; did you mean 'lambda'\?"),
        ({"labels": 5}, "no key 'labels'"),
        ({"labels.few.er": 5}, "no key 'labels.few.er'"),
        ({"lambda": -1.0}, r"params.yaml with lambda 1: lambda: -1.0 is out of range; give at least 0"),
        ({"labels.fraction": 0.1}, "labels: per_class and fraction are both set"),
    ],
)
def test_settings_that_are_no_experiment_are_refused_by_the_strict_reader(
    params: Path, settings: dict[str, Any], message: str
) -> None:
    content = read_yaml(params)
    assert isinstance(content, dict)
    with pytest.raises(ParamsError, match=message):
        params_of(Cell({"lambda": "1"}, settings, frozenset()), content, "params.yaml")
