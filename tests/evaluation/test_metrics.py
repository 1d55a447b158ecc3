"""Scores against loops over their definitions, and hand-computed values for special cases."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fkt.evaluation.metrics import calibration_error, scores


def random_case(num_images: int = 200, num_classes: int = 5, seed: int = 0) -> tuple[NDArray, NDArray]:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), generator.integers(0, num_classes, num_images - num_classes)])
    logits = generator.normal(size=(num_images, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def scored(predicted: list[int], labels: list[int], num_classes: int) -> dict[str, float]:
    """The scores of certain predictions."""
    return scores(np.eye(num_classes)[predicted], np.array(labels), bins=10, ordered=True)


def slow_auroc(positive: NDArray, score: NDArray) -> float:
    """The share of pairs of a positive and a negative image in which the positive has the higher score."""
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    return float(np.mean(pairs))


def slow_averages(labels: NDArray, predicted: NDArray, num_classes: int) -> dict[str, float]:
    result = dict.fromkeys([f"{a}_{m}" for a in ("macro", "weighted") for m in ("precision", "recall", "f1")], 0.0)
    recalls = []
    for k in range(num_classes):
        hits = sum(1 for y, p in zip(labels, predicted, strict=True) if y == p == k)
        actual = sum(1 for y in labels if y == k)
        called = sum(1 for p in predicted if p == k)
        precision = hits / called if called else 0.0
        recall = hits / actual if actual else 0.0
        f1 = 2 * hits / (actual + called) if actual + called else 0.0
        recalls += [recall] if actual else []
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            result[f"macro_{name}"] += value / num_classes
            result[f"weighted_{name}"] += value * actual / len(labels)
    return result | {"balanced_accuracy": sum(recalls) / len(recalls)}


def slow_kappa(labels: NDArray, predicted: NDArray) -> float:
    """1 - (mean squared distance of the pairs) / (mean squared distance of all labels to all predictions)."""
    observed = np.mean([(y - p) ** 2 for y, p in zip(labels, predicted, strict=True)])
    expected = np.mean([(y - p) ** 2 for y in labels for p in predicted])
    return float(1 - observed / expected)


def slow_calibration(probabilities: NDArray, labels: NDArray, bins: int) -> float:
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, row in enumerate(probabilities) if (m - 1) / bins < max(row) <= m / bins]
        if inside:
            accuracy = np.mean([np.argmax(probabilities[i]) == labels[i] for i in inside])
            total += len(inside) / len(labels) * abs(accuracy - np.mean([max(probabilities[i]) for i in inside]))
    return float(total)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("absent", [0, 2])
def test_every_score_agrees_with_its_definition_in_loops(seed: int, absent: int) -> None:
    """With ``absent`` classes that have no test image, and which are predicted all the same."""
    probabilities, labels = random_case(seed=seed)
    labels = np.minimum(labels, 4 - absent)
    predicted = probabilities.argmax(axis=1)
    expected = slow_averages(labels, predicted, 5) | {
        "accuracy": sum(y == p for y, p in zip(labels, predicted, strict=True)) / len(labels),
        "quadratic_kappa": slow_kappa(labels, predicted),
        "calibration_error": slow_calibration(probabilities, labels, 10),
    }
    areas = [slow_auroc(labels == k, probabilities[:, k]) for k in range(5 - absent)]
    expected["auroc"] = sum(areas) / len(areas)
    found = scores(probabilities, labels, bins=10, ordered=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == pytest.approx(expected, abs=1e-12)
    single = probabilities.astype(np.float32)
    assert scores(single, labels, 10) == scores(single.astype(np.float64), labels, 10)


def test_many_classes_have_the_top5_accuracy_and_the_auroc_of_scikit_learn() -> None:
    probabilities, labels = random_case(num_classes=8)
    found = scores(probabilities, labels, bins=10)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))
    hits = [y in sorted(range(8), key=lambda k: -row[k])[:5] for y, row in zip(labels, probabilities, strict=True)]
    assert found["top5_accuracy"] == pytest.approx(np.mean(hits))
    assert found["accuracy"] < found["top5_accuracy"] < 1
    assert "quadratic_kappa" not in found and "sensitivity" not in found


def test_of_two_classes_the_second_is_the_positive_one() -> None:
    probabilities, labels = random_case(num_classes=2)
    predicted = probabilities[:, 1] > 0.5
    found = scores(probabilities, labels, bins=10)
    assert found["sensitivity"] == pytest.approx(np.mean(predicted[labels == 1]))
    assert found["specificity"] == pytest.approx(np.mean(~predicted[labels == 0]))
    assert found["sensitivity"] != pytest.approx(found["specificity"])
    assert found["auroc"] == pytest.approx(slow_auroc(labels == 1, probabilities[:, 1]))
    assert "top5_accuracy" not in found


def test_scores_that_are_not_defined_are_missing() -> None:
    found = scored([1, 0, 1], [1, 1, 1], 2)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert not {"specificity", "auroc"} & set(found)


def test_a_class_that_is_never_predicted_has_precision_zero() -> None:
    found = scored([0, 0, 0, 0], [0, 0, 0, 1], 2)
    assert found["macro_precision"] == pytest.approx(0.75 / 2)
    assert found["weighted_precision"] == pytest.approx(0.75 * 0.75)


@pytest.mark.parametrize("count", [1, 3])
def test_kappa_is_zero_if_all_labels_and_predictions_are_one_class(count: int) -> None:
    found = scored([1] * count, [1] * count, 3)
    assert (found["quadratic_kappa"], found["accuracy"], found["calibration_error"]) == (0.0, 1.0, 0.0)


def test_the_lowest_of_equally_probable_classes_is_predicted() -> None:
    assert scores(np.full((4, 4), 0.25), np.zeros(4, dtype=np.int64), bins=10)["accuracy"] == 1.0


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    """0.5 is in (1/4, 1/2] with 0.4, and 0.75 in (1/2, 3/4]."""
    probabilities = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3], [0.75, 0.25, 0.0]])
    assert calibration_error(probabilities, np.array([1, 0, 1]), 4) == pytest.approx((abs(1 - 0.9) + 0.75) / 3)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.5]] * 2, [0, 2], r"labels \(2,\) from 0 to 2 do not fit probabilities \(2, 2\)"),
        ([[0.5, 0.5]] * 2, [-1, 0], "from -1 to 0 do not fit"),
        ([[0.5, 0.5]] * 2, [0], r"labels \(1,\) from 0 to 0 do not fit"),
        ([[np.nan, 1.0]], [0], "not finite"),
    ],
)
def test_arrays_that_do_not_fit_raise_an_error(probabilities: list, labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(np.array(probabilities), np.array(labels), bins=10)
