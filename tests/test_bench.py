"""The measurements run on small numbers and print their tables."""

import pytest

from bench import learning, methods, step
from bench.harness import changed_params
from fkt.core.errors import ParamsError
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, value in {"FKT_DEVICE": "cpu", "FKT_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The words of each printed line by its first word."""
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {words[0]: words[1:] for words in lines}


def test_learning_scores_the_untrained_and_the_pretrained_backbone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["seeds=[0]", "prepare.limit_per_class=20", "budget.passes=2", "evaluate.linear_iterations=5"]
    options = [word for change in changes for word in ("-S", change)]
    monkeypatch.setattr("sys.argv", ["bench.learning", "byol", *options, "--test"])
    learning.main()
    lines = printed(capsys)
    assert lines["test"][:2] == ["images:", "80;"]
    untrained = [float(lines["untrained"][k]) for k in (0, 3, 6)]
    knn, linear, seconds = (float(lines["byol"][k]) for k in (0, 6, 12))
    assert all(10 < score <= 100 for score in (knn, linear, *untrained[:2])) and seconds > 0 == untrained[2]
    low, high = (float(lines["byol"][k]) for k in (3, 5))
    assert low <= knn - untrained[0] <= high


def test_a_change_of_an_unknown_parameter_raises_an_error() -> None:
    with pytest.raises(ParamsError, match="budgt"):
        changed_params({"budgt.passes": 2})


@pytest.mark.slow
def test_steps_are_compared_with_the_papers_way_and_with_backbone_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--batch-size", "8", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["bench.step", *options])
    step.main()
    assert {"ours", "paper", "bare"} < set(printed(capsys))
    monkeypatch.setattr("sys.argv", ["bench.methods", "byol", "supcon", *options])
    methods.main()
    assert printed(capsys)["byol"][2:5] == ["2", "+", "2"]
