"""tuning.yaml: ranges, the sequence of settings, and the rule for settings that arms share."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest, loguniform, qmc, uniform

from fkt.core.arms import ARMS
from fkt.core.errors import ParamsError
from fkt.params.reader import read_yaml
from fkt.sweeps.experiments import present
from fkt.tuning.knobs import Knob, load_knobs, own_knobs, sequence, uses
from tests.tuning.conftest import Load

RATE = Knob("supervised.learning_rate", "log", (0.0003, 0.03))
SHARE = Knob("budget.pretrain_share", "uniform", (0.3, 0.9))
CLUSTERS = Knob("distill.clusters", "log", (10, 100))
BALANCE = Knob("joint.balance", "choices", ("fixed", "schedule", "gradnorm"))
KNOBS = [RATE, SHARE, CLUSTERS, BALANCE]


def test_fewer_trials_are_a_prefix_of_more() -> None:
    assert sequence(KNOBS, 30)[:7] == sequence(KNOBS, 7)
    assert sequence(KNOBS, 0) == []


def test_values_have_the_distributions_of_scipy() -> None:
    drawn = sequence(KNOBS, 3000)
    units = qmc.Halton(4, scramble=True, rng=0).random(3000)
    rates = np.array([one["supervised.learning_rate"] for one in drawn])
    np.testing.assert_allclose(rates, loguniform(0.0003, 0.03).ppf(units[:, 0]), rtol=0.006)  # three digits
    shares = np.array([one["budget.pretrain_share"] for one in drawn])
    assert kstest(shares, uniform(0.3, 0.6).cdf).statistic < 0.01
    clusters = [one["distill.clusters"] for one in drawn]
    assert {type(value) for value in clusters} == {int} and min(clusters) == 10 and max(clusters) == 100
    expected = np.diff(loguniform(10, 100).cdf([10, 20.5, 40.5, 100]))
    np.testing.assert_allclose(np.histogram(clusters, [10, 20.5, 40.5, 101])[0] / 3000, expected, atol=0.01)
    chosen = [one["joint.balance"] for one in drawn]
    assert [chosen.count(value) for value in BALANCE.values] == pytest.approx([1000] * 3, abs=3)


def test_dvc_can_write_every_value_and_none_leaves_its_range() -> None:
    small = Knob("supervised.weight_decay", "log", (2.96e-06, 3.04e-05))
    values = [small.value(unit) for unit in np.linspace(0, 1, 2001)[:-1]]
    assert all("." in repr(value) and 2.96e-06 <= value <= 3.04e-05 for value in values)  # type: ignore[operator]
    assert Knob("supervised.weight_decay", "log", (2.0e-05, 4.5e-05)).value(0.50001) != 3e-05


@pytest.mark.parametrize(
    ("knob", "value", "end"),
    [
        (RATE, 0.0003, "low"), (RATE, 0.003, ""), (RATE, 0.0302, "high"), (RATE, 0.001, ""), (RATE, 0.02, "high"),
        (SHARE, 0.1, "low"), (SHARE, 0.35, "low"), (SHARE, 0.37, ""), (BALANCE, "fixed", ""), (RATE, 0, ""),
    ],
)  # fmt: skip
def test_an_end_is_a_tenth_of_the_range_on_its_own_scale(knob: Knob, value: object, end: str) -> None:
    assert knob.end(value) == end


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("supervized: {supervised.learning_rate: {log: [0.1, 1.0]}}", "arm 'supervized'.*did you mean 'supervised'"),
        ("supervised: {}", "supervised has no settings to tune; add one, or remove the arm"),
        ("[1]", "tuning.yaml names no arms"),
        ("supervised: {supervised.learning_rat: {log: [0.1, 1.0]}}", "did you mean 'supervised.learning_rate'"),
        ("supervised: {supervised.learning_rate: {lg: [0.1, 1.0]}}", r"is not a range; write {log: \[low, high\]}"),
        ("supervised: {supervised.learning_rate: {log: [0.1, 1.0, 2.0]}}", "give two numbers, the smaller one first"),
        ("supervised: {supervised.learning_rate: {log: [1.0, 0.1]}}", "is empty; give the smaller number first"),
        ("supervised: {supervised.learning_rate: {log: [0, 0.1]}}", "0 has no logarithm; start above 0"),
        ("supervised: {supervised.learning_rate: {log: [true, 2]}}", "give two numbers"),
        ("supervised: {supervised.learning_rate: {uniform: [-0.1, 0.1]}}", "learning_rate: -0.1 is out of range"),
        ("supervised: {supervised.optimizer: {choices: [sgd, sgd]}}", "has a choice twice"),
        ("supervised: {budget.passes: {log: [10, 100]}}", "every arm shares this; set it in params.yaml"),
        ("representational: {ssl.method: {choices: [simclr, byol]}}", "every arm shares this"),
        ("supervised: {joint.learning_rate: {log: [0.1, 1.0]}}", "supervised does not use this; functional does"),
        ("supervised: {report.confidence: {uniform: [0.1, 0.9]}}", "supervised does not use this; no arm does"),
        (
            "representational: {finetune.learning_rate: {log: [0.1, 1.0]}}\n"
            "frozen: {pretrain.learning_rate: {log: [0.1, 1.0]}}",
            "representational is tuned earlier and uses this too; move it to representational",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_place_and_remedy(load: Load, text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message) as raised:
        load(text)
    assert str(raised.value).startswith("tuning.yaml")


def test_the_first_arm_of_modes_tunes_a_shared_setting_and_every_arm_has_one_of_its_own(folder: Path) -> None:
    knobs = load_knobs(present())
    assert set(knobs) == set(ARMS)
    for arms in (["supervised", "representational", "functional"], list(ARMS), ["distilled", "frozen"], ["distilled"]):
        own = own_knobs(knobs, arms)
        keys = [knob.key for those in own.values() for knob in those]
        assert set(own) == set(arms) and len(keys) == len(set(keys))
        assert set(keys) == {knob.key for arm in arms for knob in knobs[arm]}
        for at, arm in enumerate(own):  # an arm changes no setting of an arm before it
            assert not any(uses(earlier, knob.key, present()) for earlier in list(own)[:at] for knob in own[arm])
    with pytest.raises(ParamsError, match="no settings of frozen; add a section, or remove the arm from modes"):
        own_knobs({arm: those for arm, those in knobs.items() if arm != "frozen"}, ["supervised", "frozen"])
    rate = [knob for knob in knobs["frozen"] if knob.key == "pretrain.learning_rate"]
    with pytest.raises(ParamsError, match="earlier arms tune all settings of frozen; add one that only it has"):
        own_knobs({**knobs, "frozen": rate}, ["representational", "frozen"])


def test_the_shipped_file_holds_every_default_in_its_range(folder: Path) -> None:
    """Otherwise trial 0 is outside of what the other trials search."""
    now = present()
    for those in load_knobs(now).values():
        for knob in those:
            at = knob.position(now[knob.key])
            assert now[knob.key] in knob.values if at is None else 0 < at < 1, knob.key
    assert read_yaml(Path("tuning.yaml"))
