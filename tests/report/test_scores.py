"""Contributions of single images against leaving each image out with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from fkt.report.scores import FROM_COUNTS, class_contributions, contributions

REFERENCE = {
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(1)),
    "macro_f1": lambda y, p: metrics.f1_score(y, p.argmax(1), labels=range(p.shape[1]), average="macro"),
    "quadratic_kappa": lambda y, p: metrics.cohen_kappa_score(
        y, p.argmax(1), labels=range(p.shape[1]), weights="quadratic"
    ),
    "auroc": lambda y, p: (
        metrics.roc_auc_score(y, p[:, 1])
        if p.shape[1] == 2
        else np.mean([metrics.roc_auc_score(y == k, p[:, k]) for k in np.unique(y)])
    ),
}


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("metric", [*FROM_COUNTS, "auroc"])
def test_a_contribution_is_what_the_score_loses_without_the_image(metric: str, num_classes: int) -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, num_classes, 60)
    logits = generator.normal(0, 1, (60, num_classes)).round(1) + 1.2 * np.eye(num_classes)[labels]  # with ties
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    score, found = REFERENCE[metric], contributions(metric, labels, probabilities)
    full = score(labels, probabilities)
    slow = [60 * full - 59 * score(np.delete(labels, n), np.delete(probabilities, n, 0)) for n in range(60)]
    assert found.mean() == pytest.approx(full)
    assert found - found.mean() == pytest.approx(np.array(slow) - np.mean(slow), abs=1e-9)
    if metric == "accuracy":
        assert found == pytest.approx(np.equal(labels, probabilities.argmax(1)).astype(float))


def test_their_spread_is_that_of_the_score_over_other_test_sets() -> None:
    generator, scores, errors = np.random.default_rng(0), [], []
    for _ in range(300):
        labels = generator.integers(0, 3, 300)
        probabilities = generator.dirichlet([1, 1, 1], 300) + 0.4 * np.eye(3)[labels]
        found = contributions("macro_f1", labels, probabilities)
        scores.append(found.mean())
        errors.append(found.std(ddof=1) / np.sqrt(300))
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.15)


def test_a_class_without_test_images_is_left_out_or_zero() -> None:
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([[0.6, 0.3, 0.1]] * 3 + [[0.2, 0.7, 0.1]])
    assert contributions("auroc", labels, probabilities).mean() == pytest.approx(0.75)
    assert contributions("balanced_accuracy", labels, probabilities).mean() == pytest.approx(0.75)
    assert np.isfinite(contributions("macro_f1", labels, probabilities)).all()


def test_the_contributions_to_the_scores_of_a_class_average_to_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 80)
    probabilities = generator.dirichlet([1, 1, 1], 80) + 0.3 * np.eye(3)[labels]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, probabilities.argmax(1))
    for k in range(3):
        found = {key: values.mean() for key, values in class_contributions(labels, probabilities, k).items()}
        area = metrics.roc_auc_score(labels == k, probabilities[:, k])
        assert found == pytest.approx({"precision": precision[k], "recall": recall[k], "f1": f1[k], "auroc": area})
    assert class_contributions(labels, probabilities, 2).keys() and not class_contributions(
        labels * 0, probabilities, 2
    )
    assert "auroc" not in class_contributions(labels * 0, probabilities, 0)
