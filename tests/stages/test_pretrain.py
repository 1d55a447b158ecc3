"""A collapsed pretraining says so, where a person and the report find it."""

import pytest
from torch import Tensor

from fkt.core.arms import PRETRAINED
from fkt.core.runs import Run
from fkt.ssl.simsiam import SimSiam
from stages import pretrain
from tests.stages.running import Write, cost_of


@pytest.mark.parametrize("stopped", [True, False])
def test_simsiam_is_reported_as_collapsed_without_its_stop_gradient_alone(
    stopped: bool, prepared: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def through(_: SimSiam, z: Tensor) -> Tensor:
        return z

    if not stopped:
        monkeypatch.setattr(SimSiam, "stopped", through)
    sizes = {"projector_hidden": 16, "projector_size": 8, "predictor_hidden": 4}
    training = {"batch_size": 32, "optimizer": "sgd", "learning_rate": 0.05, "epochs": 6}
    ssl = {"method": "simsiam", "simsiam": sizes}
    small = {"prepare": {"limit_per_class": 50}, "budget": {"passes": 36}}
    params = prepared(small | {"ssl": ssl, "pretrain": training})
    run = Run(params.dataset, PRETRAINED, 0)
    pretrain.main(run, params)
    found = cost_of(run)["warnings"]
    said = capsys.readouterr().out
    if stopped:
        assert found == [] and "collapsed" not in said
    else:
        assert any("collapsed" in warning for warning in found)
        assert "warning: pretrain, seed 0: the projections have collapsed" in said
