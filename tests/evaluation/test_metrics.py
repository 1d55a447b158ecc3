"""Scores against loops, scikit-learn's own balanced accuracy, and the identities that averages obey."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from fkt.evaluation.metrics import calibration_error, confusion, scores

NAMES = {
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "quadratic_kappa",
    "calibration_error",
}


def _random_case(num_images: int = 200, num_classes: int = 5, seed: int = 0) -> tuple[NDArray, NDArray]:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), generator.integers(0, num_classes, num_images - num_classes)])
    logits = generator.normal(size=(num_images, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def _one_hot(predicted: list[int], num_classes: int) -> NDArray:
    return np.eye(num_classes)[predicted]


def _slow_averages(labels: NDArray, predicted: NDArray, num_classes: int) -> dict[str, float]:
    result = dict.fromkeys([f"{a}_{m}" for a in ("macro", "weighted") for m in ("precision", "recall", "f1")], 0.0)
    for k in range(num_classes):
        hits = sum(1 for y, p in zip(labels, predicted, strict=True) if y == p == k)
        actual = sum(1 for y in labels if y == k)
        called = sum(1 for p in predicted if p == k)
        precision = hits / called if called else 0.0
        recall = hits / actual if actual else 0.0
        f1 = 2 * hits / (actual + called) if actual + called else 0.0
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            result[f"macro_{name}"] += value / num_classes
            result[f"weighted_{name}"] += value * actual / len(labels)
    return result


def _slow_kappa(labels: NDArray, predicted: NDArray) -> float:
    """One minus the mean squared distance of the pairs over that of all labels with all predictions."""
    observed = np.mean([(y - p) ** 2 for y, p in zip(labels, predicted, strict=True)])
    expected = np.mean([(y - p) ** 2 for y in labels for p in predicted])
    return float(1 - observed / expected)


def _slow_calibration(probabilities: NDArray, labels: NDArray, bins: int) -> float:
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, row in enumerate(probabilities) if (m - 1) / bins < max(row) <= m / bins]
        if inside:
            accuracy = np.mean([np.argmax(probabilities[i]) == labels[i] for i in inside])
            total += len(inside) / len(labels) * abs(accuracy - np.mean([max(probabilities[i]) for i in inside]))
    return float(total)


@pytest.mark.parametrize("seed", range(3))
def test_every_score_agrees_with_its_definition_in_loops(seed: int) -> None:
    probabilities, labels = _random_case(seed=seed)
    predicted = probabilities.argmax(axis=1)
    found = scores(probabilities, labels, bins=10)
    expected = _slow_averages(labels, predicted, 5) | {
        "accuracy": sum(y == p for y, p in zip(labels, predicted, strict=True)) / len(labels),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "quadratic_kappa": _slow_kappa(labels, predicted),
        "calibration_error": _slow_calibration(probabilities, labels, 10),
    }
    assert set(found) == NAMES
    assert found == pytest.approx(expected, abs=1e-12)


def test_weighted_recall_is_accuracy_and_macro_recall_is_not_on_unbalanced_data() -> None:
    probabilities, labels = _random_case()
    found = scores(probabilities, labels, bins=10)
    assert found["weighted_recall"] == pytest.approx(found["accuracy"], abs=1e-15)
    assert abs(found["macro_recall"] - found["accuracy"]) > 1e-4


def test_macro_recall_is_accuracy_on_balanced_data() -> None:
    labels = np.repeat(np.arange(4), 25)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=100)
    found = scores(probabilities, labels, bins=10)
    assert found["macro_recall"] == pytest.approx(found["accuracy"], abs=1e-15)
    assert found["balanced_accuracy"] == pytest.approx(found["accuracy"], abs=1e-15)


def test_order_of_the_images_changes_no_score() -> None:
    probabilities, labels = _random_case()
    order = np.random.default_rng(1).permutation(len(labels))
    assert scores(probabilities, labels, 10) == pytest.approx(
        scores(probabilities[order], labels[order], 10), abs=1e-12
    )


def test_absent_class_counts_as_zero_in_macro_and_not_at_all_in_balanced_and_weighted() -> None:
    labels = np.array([0, 0, 1, 1])
    found = scores(_one_hot([0, 0, 1, 1], 3), labels, bins=10)
    assert found["macro_recall"] == found["macro_precision"] == found["macro_f1"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == found["weighted_recall"] == found["weighted_precision"] == 1.0


def test_absent_class_that_is_predicted_raises_no_warning() -> None:
    found = scores(_one_hot([0, 2, 1, 1], 3), np.array([0, 0, 1, 1]), bins=10)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_recall"] == pytest.approx(0.5)


def test_class_that_is_never_predicted_has_precision_zero() -> None:
    found = scores(_one_hot([0, 0, 0, 0], 2), np.array([0, 0, 0, 1]), bins=10)
    assert found["macro_precision"] == pytest.approx(0.75 / 2)
    assert found["weighted_precision"] == pytest.approx(0.75 * 0.75)


def test_single_image_is_scored() -> None:
    found = scores(np.array([[0.2, 0.8]]), np.array([1]), bins=10)
    assert found["accuracy"] == 1.0
    assert found["calibration_error"] == pytest.approx(0.2)


def test_kappa_without_any_disagreement_by_chance_is_zero() -> None:
    assert scores(_one_hot([1, 1, 1], 3), np.array([1, 1, 1]), bins=10)["quadratic_kappa"] == 0.0


def test_kappa_punishes_a_far_class_more_than_a_near_one() -> None:
    labels = np.array([0, 1, 2, 3, 4])
    near = scores(_one_hot([1, 1, 2, 3, 4], 5), labels, bins=10)["quadratic_kappa"]
    far = scores(_one_hot([4, 1, 2, 3, 4], 5), labels, bins=10)["quadratic_kappa"]
    assert far < near < 1.0
    assert scores(_one_hot([4, 3, 2, 1, 0], 5), labels, bins=10)["quadratic_kappa"] == pytest.approx(-1.0)


def test_equal_probabilities_predict_the_lowest_class() -> None:
    assert scores(np.full((4, 4), 0.25), np.zeros(4, dtype=np.int64), bins=10)["accuracy"] == 1.0


def test_scores_survive_json_at_full_precision() -> None:
    found = scores(*_random_case(), bins=15)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_float32_probabilities_give_the_scores_of_their_values() -> None:
    probabilities, labels = _random_case()
    single = probabilities.astype(np.float32)
    assert scores(single, labels, 15) == pytest.approx(scores(single.astype(np.float64), labels, 15), abs=1e-15)


def test_confusion_has_actual_rows_and_predicted_columns() -> None:
    counts = confusion(np.array([0, 0, 2, 2, 2]), np.array([1, 0, 2, 2, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 2]]
    assert counts.dtype == np.int64


def test_confidences_that_come_true_have_no_calibration_error() -> None:
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert calibration_error(probabilities, np.array([0, 0, 0, 1]), bins=10) == pytest.approx(0.0)
    assert calibration_error(probabilities, np.array([1, 1, 1, 1]), bins=10) == pytest.approx(0.75)


def test_gaps_of_one_bin_cancel_and_those_of_two_bins_do_not() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    labels = np.array([1, 0])  # sure and wrong, unsure and right
    assert calibration_error(probabilities, labels, bins=1) == pytest.approx(0.25)
    assert calibration_error(probabilities, labels, bins=10) == pytest.approx((0.9 + 0.4) / 2)


def test_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3], [0.75, 0.25, 0.0]])
    labels = np.array([1, 0, 1])  # 0.5 shares the bin (1/4, 1/2] with 0.4; 0.75 is alone in (1/2, 3/4]
    assert calibration_error(probabilities, labels, bins=4) == pytest.approx((abs(1 - 0.9) + 0.75) / 3)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 2)) / 2, np.array([0, 2]), "labels go from 0 to 2; there are 2 classes"),
        (np.ones((2, 2)) / 2, np.array([-1, 0]), "labels go from -1 to 0"),
        (np.ones((2, 2)) / 2, np.array([0]), r"probabilities \(2, 2\) and labels \(1,\)"),
        (np.ones((0, 2)), np.array([], dtype=np.int64), "N >= 1"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(probabilities: NDArray, labels: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(probabilities, labels, bins=10)


def test_zero_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="bins is 0"):
        calibration_error(np.ones((1, 2)) / 2, np.array([0]), bins=0)
