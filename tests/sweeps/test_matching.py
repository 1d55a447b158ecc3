"""Which experiment fills a cell where other sweeps, other params.yaml and unfinished ones are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fkt.params.reader import read_yaml
from fkt.presets import flat
from fkt.sweeps.cells import Cell, cells_of, params_of
from fkt.sweeps.experiments import Experiment, parse
from fkt.sweeps.matching import Gathered, differences, gather
from fkt.sweeps.queueing import plan
from fkt.sweeps.spec import available, load_sweep
from tests.conftest import ROOT
from tests.sweeps.fabricated import answer, entry

SUMMARY = {"functional": {"accuracy": 0.9, "seeds": 3}}
NAMES = available(ROOT / "sweeps")
OTHER = "0123456789abcdef0123456789abcdef01234567"


def base(**changes: Any) -> dict[str, Any]:
    content = read_yaml(ROOT / "params.yaml")
    assert isinstance(content, dict)
    for section, keys in changes.items():
        content[section] |= keys
    return content


def cells(name: str) -> list[Cell]:
    return cells_of(load_sweep(name, ROOT / "sweeps"), ROOT / "presets")


def params(cell: Cell, content: Mapping[str, Any]) -> dict[str, Any]:
    return dict(flat(params_of(cell, content, "params.yaml")))


def ran(
    name: str, content: Mapping[str, Any], day: int = 1, only: Sequence[int] | None = None, state: str = "success"
) -> list[dict[str, Any]]:
    """All the experiments of a shipped sweep, or those of some cells, as DVC tells of them."""
    return [
        entry(
            f"{cell.name(name)}-{day}", params(cell, content), SUMMARY, state=state, made=f"2026-01-{day:02}T00:00:00"
        )
        for at, cell in enumerate(cells(name))
        if only is None or at in only
    ]


def found_by(name: str, entries: Sequence[dict[str, Any]], now: Mapping[str, Any]) -> Gathered:
    return gather(cells(name), *parse(answer(entries)), dict(flat(now)))


def names(gathered: Gathered) -> dict[int, str]:
    return {at: one.name for at, one in gathered.found.items()}


@pytest.fixture(scope="module")
def everything() -> dict[str, list[Experiment]]:
    """Every shipped sweep over the same params.yaml."""
    content = base()
    return {name: parse(answer(ran(name, content)))[0] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_filled_by_its_own_experiment_beside_later_ones_of_all_other_sweeps(
    name: str, everything: dict[str, list[Experiment]]
) -> None:
    content = base()
    others = [replace(one, made="2027") for other in NAMES if other != name for one in everything[other]]
    for now in (content, base(budget={"passes": 7}), None):
        gathered = gather(cells(name), [*others, *everything[name]], [], None if now is None else dict(flat(now)))
        assert not gathered.missing and not differences(gathered)
        for at, cell in enumerate(gathered.cells):
            assert_serves(gathered.found[at], params(cell, content))


def assert_serves(taken: Experiment, own: Mapping[str, Any]) -> None:
    assert {**taken.params, "modes": 0} == {**own, "modes": 0}, taken.name
    assert set(taken.params["modes"]) >= set(own["modes"])


def test_a_cell_that_has_not_run_is_not_taken_for_known_because_of_another_sweep() -> None:
    content = base()
    others = parse(answer([one for name in NAMES if name != "lambda" for one in ran(name, content)]))
    planned = plan("lambda", cells("lambda"), content, "params.yaml", *others)
    assert [one.cell.levels["lambda"] for one in planned if one.known] == ["1", "1"]
    for one in planned:
        if one.known:
            assert_serves(next(other for other in others[0] if other.name == one.known), params(one.cell, content))


def test_an_experiment_of_another_sweep_fills_only_what_is_empty_and_is_told_of() -> None:
    content = base()
    gradnorm = [at for at, cell in enumerate(cells("balance")) if cell.levels["balance"] == "gradnorm"]
    entries = [*ran("lambda", content, 1, only=range(9)), *ran("balance", content, 2, only=gradnorm)]
    gathered = found_by("lambda", entries, content)
    assert [str(cells("lambda")[at]) for at in gathered.missing] == ["lambda 3, labels 10 %", "lambda 3, labels 100 %"]
    assert {at: name for at, name in names(gathered).items() if "balance" in name} == {9: "balance-gradnorm-100pct-2"}
    assert list(differences(gathered)) == ["joint.balance"]


def test_a_sweep_that_has_begun_comes_before_another_that_is_done() -> None:
    content = base()
    gradnorm = [at for at, cell in enumerate(cells("balance")) if cell.levels["balance"] == "gradnorm"]
    begun = [*ran("lambda", content, 1, only=[8]), *ran("lambda", content, 1, only=[9, 10, 11], state="queued")]
    gathered = found_by("lambda", [*begun, *ran("balance", content, 2, only=gradnorm)], base(budget={"passes": 7}))
    assert names(gathered) == {8: "lambda-1-10pct-1", 9: "balance-gradnorm-100pct-2"}
    assert gathered.waiting == {10: "queued: lambda-3-10pct-1", 11: "queued: lambda-3-100pct-1"}


def test_what_waits_of_another_sweep_is_not_the_state_of_a_cell() -> None:
    content = base()
    entries = [*ran("lambda", content, 1, only=range(8)), *ran("balance", content, 2, state="failed")]
    assert found_by("lambda", entries, content).waiting == {
        8: "failed: balance-fixed-10pct-2", 9: "failed: balance-fixed-100pct-2",
    }  # fmt: skip


def test_of_two_that_are_complete_the_one_of_the_params_file_comes_first_then_the_latest() -> None:
    short, long = base(budget={"passes": 20}), base(budget={"passes": 60})
    entries = [*ran("lambda", short, 1), *ran("lambda", long, 2)]
    for now, day in ((short, 1), (long, 2), (base(), 2)):
        gathered = found_by("lambda", entries, now)
        assert all(name.endswith(f"-{day}") for name in names(gathered).values()) and gathered.repeated == 0
    partly = [*ran("lambda", short, 1), *ran("lambda", long, 2, only=range(5))]
    assert not differences(found_by("lambda", partly, long)), "the complete one is not mixed with the other"


def test_commits_are_not_mixed_where_one_has_all_and_equal_ones_are_counted() -> None:
    content = base()
    answers = [*answer(ran("lambda", content, 1)), *answer(ran("lambda", content, 2, only=range(4)), OTHER)]
    gathered = gather(cells("lambda"), *parse(answers), dict(flat(content)))
    assert {one.commit for one in gathered.found.values()} == {answers[1]["rev"]}
    assert gathered.repeated == 4


def test_an_experiment_that_trains_more_arms_serves_as_one_that_trains_fewer() -> None:
    content = base()
    more = base() | {"modes": ["pretrained", "supervised", "representational", "functional"]}
    own = cells("lambda")[3]
    wide = dict(flat(params_of(own, more, "params.yaml"))) | {"modes": more["modes"]}
    finished = parse(answer([entry("wide", wide, SUMMARY)]))
    assert names(gather(cells("lambda"), *finished)) == {3: "wide"}
    assert [one.known for one in plan("lambda", cells("lambda"), content, "params.yaml", *finished)][3] == "wide"
    narrow = parse(answer([entry("narrow", {**wide, "modes": ["supervised"]}, SUMMARY)]))
    assert not gather(cells("lambda"), *narrow).found
    assert not any(one.known for one in plan("lambda", cells("lambda"), content, "params.yaml", *narrow))
