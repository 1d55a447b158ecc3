"""A fabricated comparison in the working folder, and the report without its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from fkt.params import Params
from stages import report
from tests.report.fabricated import NAMES, fabricate, fabricated_params


@pytest.fixture
def numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out: they take most of the time and have tests of their own."""
    for name in ("draw_accuracy", "draw_curves", "draw_confusion", "draw_maps"):
        monkeypatch.setattr(report, name, lambda *arguments, **options: None)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params()
    fabricate(params, names=NAMES, num_test=120)
    return params
