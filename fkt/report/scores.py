"""The scores that arms can be compared by, as contributions of single test images. Imports no other module of fkt.

The contribution of image n is its jackknife pseudo-value, N * score - (N - 1) * score without image n, shifted so that
their mean is the score. Their variance over images is N times that of the score. So every score can be compared like
accuracy, whose pseudo-values are 1 for a right and 0 for a wrong prediction.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Counts = NDArray[np.float64]
"""(M, K, K) confusion matrices: rows are actual classes, columns predicted classes."""


def contributions(metric: str, labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what each test image contributes to a score of one model: (N,). Their mean is the score.

    metric: accuracy, balanced_accuracy, macro_f1, quadratic_kappa or auroc. labels: (N,). probabilities: (N, K).
    """
    if metric == "auroc":
        pseudo = _auroc(labels, probabilities)
        score = auroc(labels, probabilities)
    else:
        predicted, (_, num_classes) = probabilities.argmax(axis=1), probabilities.shape
        score_of = FROM_COUNTS[metric]
        counts = np.zeros((num_classes, num_classes))
        np.add.at(counts, (labels, predicted), 1)
        score = float(score_of(counts[None])[0])
        # Images of one cell of the confusion matrix are interchangeable.
        cells, members = np.unique(labels * num_classes + predicted, return_inverse=True)
        without = np.repeat(counts[None], len(cells), axis=0)
        without[np.arange(len(cells)), cells // num_classes, cells % num_classes] -= 1
        pseudo = (len(labels) * score - (len(labels) - 1) * score_of(without))[members]
    shifted: NDArray[np.float64] = pseudo + (score - pseudo.mean())
    return shifted


def _accuracy(counts: Counts) -> NDArray[np.float64]:
    accuracy: NDArray[np.float64] = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
    return accuracy


def _balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    images = counts.sum(axis=2)
    recall = np.diagonal(counts, axis1=1, axis2=2) / np.maximum(images, 1)
    mean: NDArray[np.float64] = recall.sum(axis=1) / (images > 0).sum(axis=1)
    return mean


def _macro_f1(counts: Counts) -> NDArray[np.float64]:
    total = counts.sum(axis=1) + counts.sum(axis=2)
    f1: NDArray[np.float64] = (2 * np.diagonal(counts, axis1=1, axis2=2) / np.maximum(total, 1)).mean(axis=1)
    return f1


def _quadratic_kappa(counts: Counts) -> NDArray[np.float64]:
    num_images, position = counts.sum(axis=(1, 2)), np.arange(counts.shape[1])
    weights = np.square(position[:, None] - position)
    observed = (weights * counts).sum(axis=(1, 2))
    expected = np.einsum("ij,mi,mj->m", weights, counts.sum(axis=2), counts.sum(axis=1)) / num_images
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 0.0)


FROM_COUNTS: dict[str, Callable[[Counts], NDArray[np.float64]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "quadratic_kappa": _quadratic_kappa,
}
"""The scores that are a function of the confusion matrix; (M, K, K) -> (M,)."""


def auroc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Return the area under the ROC curve, one class against the rest, averaged over the classes with test images."""
    areas = [roc_auc_score(labels == k, probabilities[:, k]) for k in _classes(labels, probabilities)]
    return float(np.mean(areas))


def _auroc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the pseudo-values of ``auroc``, from the placement of each image among those of the other side."""
    classes = _classes(labels, probabilities)
    pseudo = np.zeros(len(labels))
    for k in classes:
        inside, values = labels == k, probabilities[:, k]
        placement = np.empty(len(labels))
        for side, sign in ((inside, 1), (~inside, -1)):
            other = np.sort(sign * values[~side])
            left, right = (np.searchsorted(other, sign * values[side], side=edge) for edge in ("left", "right"))
            placement[side] = (left + right) / (2 * len(other))
        area = placement[inside].mean()
        for side in (inside, ~inside):
            count = side.sum()  # without one of these images, the mean over the others is the area
            without = (count * area - placement[side]) / (count - 1) if count > 1 else area
            pseudo[side] += len(labels) * area - (len(labels) - 1) * without
    return pseudo / len(classes)


def _classes(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> list[int]:
    """Return the classes whose area is averaged: those with test images, and only the second of two classes."""
    present = [k for k in range(probabilities.shape[1]) if 0 < (labels == k).sum() < len(labels)]
    return present[-1:] if probabilities.shape[1] == 2 else present
