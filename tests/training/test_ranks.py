"""One training in several processes: the same numbers as in one, and its errors."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fkt.core import ranks
from fkt.core.errors import ParamsError
from tests.conftest import ROOT, make_environment
from tests.training.ranks_cases import CASES, trace

Traces = tuple[int, dict[str, dict[str, Tensor]]]


@pytest.fixture(scope="module", params=[3, pytest.param(10, marks=pytest.mark.slow)])
def in_two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Traces:
    """The number of steps, and what two processes find in each case."""
    path = tmp_path_factory.mktemp("ranks") / "traces.pt"
    options = ("--standalone", "--nproc-per-node", "2", "--log-dir", str(path.parent))
    command = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        *options,
        "-m",
        "tests.training.ranks_cases",
        str(path),
        "float64",
        str(request.param),
    )
    subprocess.run(command, cwd=ROOT, env=make_environment() | {"FKT_DEVICE": "cpu"}, check=True)
    return request.param, torch.load(path)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case: str, in_two: Traces) -> None:
    steps, found = in_two
    for name, expected in trace(case, "float64", steps).items():
        message = lambda text, name=name: f"{name}: {text}"  # noqa: E731
        torch.testing.assert_close(found[case].pop(name), expected, rtol=1e-7, atol=1e-9, msg=message)
    assert not found[case], "nothing else"


@pytest.fixture
def second_of_three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ranks._world, "rank", 1)
    monkeypatch.setattr(ranks._world, "size", 3)
    yield


@pytest.mark.usefixtures("second_of_three")
def test_a_batch_is_shared_equally_or_refused() -> None:
    assert ranks.rows(12) == slice(4, 8)
    with pytest.raises(ParamsError, match="batch_size: 3 processes cannot share 64 images"):
        ranks.rows(64)


@pytest.mark.usefixtures("second_of_three")
def test_only_within_a_step_images_are_a_part_of_the_batch() -> None:
    views = torch.cat([torch.arange(6), torch.arange(6) + 10])  # two views of six images
    assert ranks.mine(views) is views and ranks.whole(views) is views and ranks.of_all(2) == 2
    with ranks.split(6):
        assert ranks.mine(views).tolist() == [2, 3, 12, 13] and ranks.of_all(2) == 6
    assert ranks.mine(views) is views
