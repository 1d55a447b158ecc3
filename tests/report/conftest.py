"""A fabricated comparison, and the report without its figures."""

from contextlib import chdir
from pathlib import Path

import pytest

from fkt.core.arms import ARMS, PRETRAINED
from fkt.params import Params
from fkt.report import html
from fkt.report.arms import Results, read_results
from stages import report
from tests.report.fabricated import fabricate, fabricated_params


@pytest.fixture
def numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figure and the page: they take most of the time and have tests of their own."""
    monkeypatch.setattr(report, "draw_maps", lambda *arguments, **options: None)
    monkeypatch.setattr(html, "render", lambda *arguments: "")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Parameters of three arms, with all files of their runs in the current folder."""
    monkeypatch.chdir(tmp_path)
    params = fabricated_params()
    fabricate(params, num_test=120)
    return params


@pytest.fixture(scope="session")
def all_params() -> Params:
    """Parameters of all arms and two seeds."""
    return fabricated_params(modes=[PRETRAINED, *ARMS], seeds=[0, 1])


@pytest.fixture(scope="session")
def results(all_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The files of all arms, read once. One class has a long name, another has Markdown and TeX in its name."""
    names = ["proliferative diabetic retinopathy", "no sign of disease", "a $b$ | `c`\n<d>", "$\\frac$"]
    with chdir(tmp_path_factory.mktemp("results")):
        fabricate(all_params, names=names, num_test=90, channels=3)
        return read_results(all_params)
