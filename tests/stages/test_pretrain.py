"""A collapsed pretraining says so, where a person and the report find it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import Tensor

from fkt.core.arms import PRETRAINED
from fkt.core.runs import Run
from fkt.params import Params, load_params
from fkt.ssl.simsiam import SimSiam
from stages import prepare, pretrain
from tests.conftest import ROOT


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """SimSiam for 60 steps on 320 digits, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["prepare"]["limit_per_class"] = 50
    content["ssl"]["method"] = "simsiam"
    content["ssl"]["simsiam"] |= {"projector_hidden": 16, "projector_size": 8, "predictor_hidden": 4}
    content["pretrain"] |= {"batch_size": 32, "optimizer": "sgd", "learning_rate": 0.05, "epochs": 6}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return load_params()


@pytest.mark.parametrize("stopped", [True, False])
def test_simsiam_is_reported_as_collapsed_without_its_stop_gradient_alone(
    stopped: bool, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def through(_: SimSiam, z: Tensor) -> Tensor:
        return z

    if not stopped:
        monkeypatch.setattr(SimSiam, "stopped", through)
    prepare.main(params)
    pretrain.main(Run(params.dataset, PRETRAINED, 0), params)
    found = json.loads((Run(params.dataset, PRETRAINED, 0).log / "cost.json").read_text())["warnings"]
    said = capsys.readouterr().out
    if stopped:
        assert found == [] and "collapsed" not in said
    else:
        assert any("collapsed" in warning for warning in found)
        assert "warning: pretrain, seed 0: the projections have collapsed" in said
