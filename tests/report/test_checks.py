"""Signs of a failed training: healthy arms have none, and each failure has its own sentence."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from fkt.params import Params
from fkt.report.arms import read_arms
from fkt.report.checks import LEVEL, arm_failures, chance_p, failures, majority_scores
from tests.report.fabricated import ARMS

SEEDS, COUNTS = [0, 1, 2], [80, 90, 85, 70]
LABELS = np.arange(200) % 4
STEPS = np.arange(12, 241, 12)


def predictions(*accuracies: float) -> NDArray[np.int64]:
    """Predictions (S, N) with these accuracies: the first images of a random order are right."""
    random = np.random.default_rng(0)
    right = [random.permutation(200) < share * 200 for share in accuracies]
    return np.where(right, LABELS, (LABELS + random.integers(1, 4, (len(accuracies), 200))) % 4)


def healthy_curves() -> pd.DataFrame:
    """Cross-entropy and SSL loss that decay with 0.2 and 0.4 of the run's length as time constant, and some noise."""
    random, done, frames = np.random.default_rng(0), STEPS / STEPS[-1], []
    for seed in SEEDS:
        pretrain = pd.DataFrame({"step": STEPS, "ssl": 3.5 + np.exp(-done / 0.4) + 0.01 * random.normal(size=20)})
        finetune = pd.DataFrame({"step": STEPS, "ce": 2 * np.exp(-done / 0.2) + 0.01 * random.random(20)})
        for stage, frame in {"pretrain": pretrain, "finetune": finetune}.items():
            spread = 0.6 + 0.2 * done + 0.01 * random.normal(size=20)
            frames.append(frame.assign(loss=frame.iloc[:, 1], seed=seed, stage=stage, feature_std=spread))
    return pd.concat(frames, ignore_index=True)


def costs(steps: int = 240) -> list[list[dict[str, object]]]:
    return [[{"stage": "pretrain", "steps": steps}, {"stage": "finetune", "steps": 240}] for _ in SEEDS]


def found(
    curves: pd.DataFrame | None = None, steps: int = 240, accuracies: tuple[float, ...] = (0.8, 0.7, 0.75)
) -> list[str]:
    curves = healthy_curves() if curves is None else curves
    return failures(curves, costs(steps), SEEDS, LABELS, predictions(*accuracies), COUNTS)


def test_healthy_trainings_have_no_sign() -> None:
    assert found() == []


def test_the_signs_of_an_arm_have_its_name(params: Params) -> None:
    functional, *others = read_arms("digits", ARMS, params.seeds)
    assert [arm_failures(arm, [80] * 4) for arm in others] == [[], []]
    for part in (parts[0] for parts in functional.costs):
        part["steps"] = 20
    (sentence,) = arm_failures(functional, [80] * 4)
    assert sentence.startswith("functional: joint has 20 optimizer steps, fewer than 50; raise")


def test_an_arm_that_predicts_one_class_is_at_chance() -> None:
    (sentence,) = failures(healthy_curves(), costs(), SEEDS, LABELS, np.full((3, 200), 1), COUNTS)
    assert sentence == (
        "the test accuracy, 25.0 %, is not clearly above the 25.0 % of predicting the most frequent class (p = 0.53)"
    )


def with_changes(seed: int, stage: str, **columns: Callable[[NDArray], NDArray]) -> pd.DataFrame:
    """Healthy curves in which columns of one training are functions of the fraction of the steps."""
    curves = healthy_curves()
    rows = (curves["seed"] == seed) & (curves["stage"] == stage)
    for name, function in columns.items():
        curves.loc[rows, name] = function(STEPS / STEPS[-1])
    return curves


@pytest.mark.parametrize(
    ("seed", "stage", "columns", "sentence"),
    [
        (
            1, "finetune", {"ce": lambda done: 1.5 + done},
            "the cross-entropy of finetune did not fall: 1.55 at the start, 2.5 at the end; change the learning rate "
            "(seed 1)",
        ),
        (
            2, "pretrain", {"loss": lambda done: np.where(done > 0.5, np.inf, 1.0)},
            "the loss of pretrain became inf; lower the learning rate (seed 2)",
        ),
        (
            0, "pretrain", {"ssl": lambda done: 4 - done},
            "the SSL loss of pretrain was still falling fast: the last fifth of the steps has 21 % of its whole fall; "
            "raise budget.passes (seed 0)",
        ),
        (
            2, "finetune", {"feature_std": lambda done: 0.6 * np.exp(-2 * done)},
            "the features of finetune collapsed: their standard deviation fell from 0.543 to 0.0812 (1: evenly spread) "
            "(seed 2)",
        ),
    ],
)  # fmt: skip
def test_a_learning_curve_that_failed_is_named(
    seed: int, stage: str, columns: dict[str, Callable], sentence: str
) -> None:
    assert found(with_changes(seed, stage, **columns)) == [sentence]


@pytest.mark.parametrize(("power", "share"), [(0.5, None), (1.0, 21), (2.0, 36)])
def test_a_loss_falls_fast_if_it_has_not_slowed_down(power: float, share: int | None) -> None:
    """The last fifth of 1 - x^power has 1 - 0.8^power of the fall, a little more from the first row on."""
    sentences = found(with_changes(0, "finetune", ce=lambda done: 3 - done**power))
    assert [f"has {share} %" in sentence for sentence in sentences] == ([] if share is None else [True])


def test_few_steps_and_few_checks_are_signs() -> None:
    assert found(steps=49) == ["pretrain has 49 optimizer steps, fewer than 50; raise budget.passes"]
    curves = healthy_curves()
    curves = curves[(curves["stage"] == "pretrain") | (curves["step"] == 240)]
    assert found(curves) == ["finetune has fewer than 2 checks; raise budget.checks"]


def test_a_seed_at_chance_far_below_the_others_failed_alone() -> None:
    assert found(accuracies=(0.8, 0.78, 0.26)) == [
        "seed 2 failed alone: its test accuracy is 26.0 %, the median of the other seeds 79.0 %, and predicting the "
        "most frequent class gives 25.0 %"
    ]
    assert found(accuracies=(0.8, 0.78, 0.5)) == [], "far below, but it learned something"
    assert found(accuracies=(0.36, 0.36, 0.28)) == [], "200 test images do not tell these apart"


def test_predictions_without_a_relation_to_the_labels_are_at_chance_and_others_are_not() -> None:
    """Unequal classes, and predictions of any shares: about 1 % are below the level for each of the two tests."""
    random = np.random.default_rng(0)
    labels = random.choice(4, size=300, p=[0.6, 0.25, 0.1, 0.05])
    majority = majority_scores([600, 250, 100, 50], labels)["accuracy"]
    p = [
        chance_p(labels, random.choice(4, size=(1, 300), p=random.dirichlet([1.0] * 4)), majority) for _ in range(2000)
    ]
    assert np.mean(np.array(p) < LEVEL) < 2.5 * LEVEL
    balanced = np.where(random.random((1, 300)) < 0.3, labels, random.integers(0, 4, (1, 300)))
    assert (balanced == labels).mean() < majority, "below the most frequent class, but of use"
    assert chance_p(labels, balanced, majority) < 1e-6


def test_the_test_of_the_accuracy_is_the_binomial_one() -> None:
    labels = np.arange(60) % 2
    predicted = np.where(np.arange(60) < 36, labels, 1 - labels)[None]
    expected = binomtest(36, 60, 0.5, alternative="greater").pvalue
    recall = np.array([0.6, 0.6])  # each of 30 images; the classes are predicted equally often
    normal = (recall.sum() - 1) / np.sqrt(2 * 0.25 / 30)
    assert normal == pytest.approx(1.549, abs=1e-3)
    assert chance_p(labels, predicted, 0.5) == pytest.approx(min(expected, 0.0607), abs=1e-4)


@pytest.mark.parametrize("absent", [False, True])
def test_the_majority_class_has_the_scores_of_scikit_learn(absent: bool) -> None:
    counts, labels = [20, 50, 30], np.array([0, 1, 1, 2, 2, 1, 0, 1])
    labels = labels[labels != 1] if absent else labels
    train = np.repeat(np.arange(3), counts)
    predicted = DummyClassifier(strategy="most_frequent").fit(train[:, None], train).predict(labels[:, None])
    expected = precision_recall_fscore_support(labels, predicted, labels=range(3), average="macro", zero_division=0)[:3]
    assert majority_scores(counts, labels) == pytest.approx(
        dict(zip(("macro_precision", "macro_recall", "macro_f1"), expected, strict=True))
        | {"accuracy": accuracy_score(labels, predicted), "auroc": 0.5}
        | {"balanced_accuracy": 0.0 if absent else balanced_accuracy_score(labels, predicted)}
    )
