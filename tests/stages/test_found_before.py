"""Mistakes that every training stage finds before it trains, and labels that SSL may not see."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fkt.core.arms import PRETRAINED, TEACHER
from fkt.core.errors import ParamsError
from fkt.core.runs import Run
from fkt.training.objectives import Functional, Pretrain
from fkt.training.session import open_session
from fkt.views.loader import Batch
from tests.stages.running import Write, train_one


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (PRETRAINED, {"labels": {"per_class": 500}, "joint": {"batch_size": 4096}}, "500(.|\n)*4096"),
        ("functional", {"ssl": {"method": "supcon", "label_fraction": 0.5}}, "ssl.label_fraction: 0.5 is .* grants 2"),
        (PRETRAINED, {"pretrain": {"epochs": 60}}, "leaves nothing for finetune"),
        (TEACHER, {"pretrain": {"epochs": 60}, "modes": ["distilled"]}, "leaves nothing for distill"),
    ],
)
def test_a_mistake_is_found_before_anything_trains(
    name: str, changes: dict[str, Any], message: str, prepared: Write
) -> None:
    params = prepared(changes)
    with pytest.raises(ParamsError, match=message):
        train_one(name, 0, params)
    assert not Path("models").exists()


@pytest.mark.parametrize("ce_on", ["image", "views"])
def test_ssl_sees_its_labels_and_cross_entropy_those_of_the_budget(
    ce_on: str, prepared: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = prepared(
        {
            "seeds": [0],
            "labels": {"per_class": None, "fraction": None if ce_on == "views" else 0.5},
            "ssl": {"method": "moco", "label_fraction": 0.25, "moco": {"false_negatives": "eliminate"}},
            "budget": {"passes": 0.25, "checks": 1},
            "joint": {"ce_on": ce_on},
        }
    )
    session = open_session(params, Run("digits", "functional", 0))
    truth, told = session.train_split.labels, torch.isin(torch.arange(len(session.train_split)), session.ssl_labelled)
    assert 0.24 < told.double().mean() < 0.26 and torch.isin(session.ssl_labelled, session.labelled).all()
    seen: list[Batch] = []
    for objective in (Pretrain, Functional):
        compute = objective.loss
        monkeypatch.setattr(objective, "loss", lambda self, batch, run=compute: seen.append(batch) or run(self, batch))
    train_one(PRETRAINED, 0, params)
    pretrained = len(seen)
    train_one("functional", 0, params)
    assert 0 < pretrained < len(seen)
    for number, batch in enumerate(seen):
        assert batch.views is not None
        ids = batch.views.ids
        assert torch.equal(batch.views.labels, torch.where(told[ids], truth[ids], -1))
        if number < pretrained:
            assert (batch.labels == -1).all(), "pretraining has no cross-entropy"
        elif ce_on == "views":
            assert torch.equal(batch.labels, truth[ids])
        else:
            assert batch.images is not None and (batch.labels >= 0).all()
    curve = (Run("digits", PRETRAINED, 0).log / "curve.csv").read_text().splitlines()
    assert "eliminated" in curve[0].split(",")
