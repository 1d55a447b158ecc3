"""Balances that depend on the size of the losses subtract the lower bound, and stop below it."""

from pathlib import Path

import pytest

from fkt.core.errors import UserError
from tests.training.joint_runs import BALANCES, run
from tests.training.test_objectives import batch as one_batch
from tests.training.test_objectives import functional


@pytest.mark.parametrize("name", BALANCES)
def test_balances_that_depend_on_size_subtract_the_lower_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []
    for lower_bound in (0.0, -2.0):
        objective = functional(BALANCES[name])
        monkeypatch.setattr(type(objective.method), "lower_bound", lower_bound)
        totals.append(objective.loss(one_batch())["total"].item())
    by_size = name in ("uncertainty", "gradnorm")
    assert totals[1] - totals[0] == pytest.approx(2 * 0.7 if by_size else 0.0, abs=1e-5)


@pytest.mark.parametrize("name", BALANCES)
def test_a_loss_below_its_lower_bound_stops_a_balance_that_depends_on_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = functional(BALANCES[name])
    monkeypatch.setattr(type(objective.method), "lower_bound", 50.0)
    if name in ("uncertainty", "gradnorm"):
        with pytest.raises(UserError, match=r"fell to \d\.\d+, below the lower bound of its method, 50; "):
            run(objective, tmp_path / "run.pt")
    else:
        run(objective, tmp_path / "run.pt")


def test_rounding_below_the_lower_bound_is_tolerated() -> None:
    objective = functional(BALANCES["uncertainty"])
    objective.check({"ssl": objective.method.lower_bound - 1e-6})
    with pytest.raises(UserError):
        objective.check({"ssl": objective.method.lower_bound - 0.01})
