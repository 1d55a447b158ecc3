"""The scores that arms can be compared by, as contributions of single test images. Imports no other module of fkt.

The contribution of image n is its jackknife pseudo-value, N * score - (N - 1) * score without image n, shifted so that
their mean is the score. Their variance over images is N times that of the score. So every score can be compared like
accuracy, whose pseudo-values are 1 for a right and 0 for a wrong prediction.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""(M, K, K) confusion matrices: rows are actual classes, columns predicted classes."""


def contributions(metric: str, labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what each test image contributes to a score of one model: (N,). Their mean is the score.

    metric: accuracy, balanced_accuracy, macro_f1, quadratic_kappa or auroc. labels: (N,). probabilities: (N, K).
    """
    if metric != "auroc":
        return _of_counts(FROM_COUNTS[metric], labels, probabilities)
    classes = [k for k in range(probabilities.shape[1]) if 0 < (labels == k).sum() < len(labels)]
    if probabilities.shape[1] == 2:
        classes = classes[-1:]
    mean: NDArray[np.float64] = np.mean([_auroc(labels == k, probabilities[:, k]) for k in classes], axis=0)
    return mean


def class_contributions(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], k: int
) -> dict[str, NDArray[np.float64]]:
    """Return what each test image contributes to precision, recall, F1 and AUROC of class k: (N,) each.

    A score that is not defined is left out: all of a class without test images, AUROC if all images are of the class.
    """
    if not (labels == k).any():
        return {}
    found = {
        "precision": _of_counts(lambda c: c[:, k, k] / np.maximum(c[:, :, k].sum(axis=1), 1), labels, probabilities),
        "recall": _of_counts(lambda c: c[:, k, k] / np.maximum(c[:, k].sum(axis=1), 1), labels, probabilities),
        "f1": _of_counts(lambda c: _f1(c)[:, k], labels, probabilities),
    }
    return found if (labels == k).all() else found | {"auroc": _auroc(labels == k, probabilities[:, k])}


def _of_counts(
    score_of: Callable[[Counts], NDArray[np.float64]], labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the contributions to a score that is a function of the confusion matrix."""
    predicted, num_classes = probabilities.argmax(axis=1), probabilities.shape[1]
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (labels, predicted), 1)
    score = float(score_of(counts[None])[0])
    # Images of one cell of the confusion matrix are interchangeable.
    cells, members = np.unique(labels * num_classes + predicted, return_inverse=True)
    without = np.repeat(counts[None], len(cells), axis=0)
    without[np.arange(len(cells)), cells // num_classes, cells % num_classes] -= 1
    return _shifted((len(labels) * score - (len(labels) - 1) * score_of(without))[members], score)


def _shifted(pseudo: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """Return pseudo-values whose mean is the score; the jackknife moves it by its estimate of the bias."""
    shifted: NDArray[np.float64] = pseudo + (score - pseudo.mean())
    return shifted


def _balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    images = counts.sum(axis=2)
    recall = np.diagonal(counts, axis1=1, axis2=2) / np.maximum(images, 1)
    mean: NDArray[np.float64] = recall.sum(axis=1) / (images > 0).sum(axis=1)
    return mean


def _f1(counts: Counts) -> NDArray[np.float64]:
    total = counts.sum(axis=1) + counts.sum(axis=2)
    f1: NDArray[np.float64] = 2 * np.diagonal(counts, axis1=1, axis2=2) / np.maximum(total, 1)
    return f1


def _quadratic_kappa(counts: Counts) -> NDArray[np.float64]:
    num_images, position = counts.sum(axis=(1, 2)), np.arange(counts.shape[1])
    weights = np.square(position[:, None] - position)
    observed = (weights * counts).sum(axis=(1, 2))
    expected = np.einsum("ij,mi,mj->m", weights, counts.sum(axis=2), counts.sum(axis=1)) / num_images
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 0.0)


FROM_COUNTS: dict[str, Callable[[Counts], NDArray[np.float64]]] = {
    "accuracy": lambda counts: np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2)),
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": lambda counts: _f1(counts).mean(axis=1),
    "quadratic_kappa": _quadratic_kappa,
}
"""The scores that are a function of the confusion matrix; (M, K, K) -> (M,)."""


def _auroc(inside: NDArray[np.bool_], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the contributions to the area under the ROC curve of one class against the rest.

    inside: (N,) whether an image is of the class. values: (N,) its probability. The area is the mean placement of an
    image among those of the other side (DeLong et al. 1988).
    """
    pseudo, num_images = np.empty(len(inside)), len(inside)
    for side, sign in ((inside, 1), (~inside, -1)):
        other = np.sort(sign * values[~side])
        left, right = (np.searchsorted(other, sign * values[side], side=edge) for edge in ("left", "right"))
        placement = (left + right) / (2 * len(other))
        area, count = float(placement.mean()), len(placement)
        without = (count * area - placement) / (count - 1) if count > 1 else np.full(count, area)
        pseudo[side] = num_images * area - (num_images - 1) * without
    return _shifted(pseudo, area)
