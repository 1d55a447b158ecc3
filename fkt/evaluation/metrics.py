"""Scores of a classifier on labelled images: pure functions of probabilities and labels. Rounds nothing.

A class that is absent from the test images has no recall. ``macro_*`` count it as 0, which pulls them down and shows
that something is missing; ``balanced_accuracy`` leaves it out; ``weighted_*`` give it no weight. A class that is
never predicted has precision 0. F1 is the mean of the classes' F1, not the F1 of the means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64]


def scores(probabilities: Probabilities, labels: Labels, bins: int) -> dict[str, float]:
    """Return every score of a run, each in [0, 1] but quadratic_kappa, which is in [-1, 1].

    probabilities: (N, K), rows summing to 1; labels: (N,) in 0..K-1; N >= 1. The prediction is the most probable
    class, the lowest where several are. bins: of the calibration error.
    Raises ValueError for arrays that do not fit together.
    """
    _check(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    counts = confusion(labels, predicted, probabilities.shape[1])
    hits, actual, called = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    by_class = {
        "precision": _ratio(hits, called),
        "recall": _ratio(hits, actual),
        "f1": _ratio(2 * hits, actual + called),
    }
    result = {
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": balanced_accuracy(counts),
        "quadratic_kappa": quadratic_kappa(counts),
        "calibration_error": calibration_error(probabilities, labels, bins),
    }
    for name, values in by_class.items():
        result[f"macro_{name}"] = float(values.mean())
        result[f"weighted_{name}"] = float(values @ actual / len(labels))
    return result


def confusion(labels: Labels, predicted: Labels, num_classes: int) -> NDArray[np.int64]:
    """Count images by actual (row) and predicted (column) class: (K, K) int64."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def balanced_accuracy(counts: NDArray[np.int64]) -> float:
    """Mean recall over the classes that the test images have, from a confusion matrix with at least one image."""
    images = counts.sum(axis=1)
    present = images > 0
    return float(np.mean(counts.diagonal()[present] / images[present]))


def quadratic_kappa(counts: NDArray[np.int64]) -> float:
    """Cohen's kappa with squared distances between classes as weights (Cohen 1968), from a confusion matrix.

    For ordered classes; 1 is full agreement, 0 what chance gives. Where all labels and all predictions are one and
    the same class, chance agrees fully too and kappa is 0/0: 0 is returned, as nothing beyond chance has been shown.
    """
    positions = np.arange(len(counts))
    distances = np.square(positions[:, None] - positions[None, :])
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = float((distances * by_chance).sum())
    return 1 - float((distances * counts).sum()) / expected if expected > 0 else 0.0


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int) -> float:
    """Expected calibration error (arXiv:1706.04599, Eq. 3): mean gap between confidence and accuracy.

    The confidence is the largest probability; bin m of M equal-width ones holds confidences in ((m-1)/M, m/M], and a
    bin counts by its share of the images. In [0, 1]; an estimate that is biased upwards where bins hold few images.
    """
    _check(probabilities, labels)
    if bins < 1:
        raise ValueError(f"bins is {bins}; at least one is needed")
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    member = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(member, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide class by class; 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _check(probabilities: Probabilities, labels: Labels) -> None:
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),) or len(labels) == 0:
        raise ValueError(
            f"probabilities {probabilities.shape} and labels {labels.shape} are not (N, K) and (N,), N >= 1"
        )
    if not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
        raise ValueError(f"labels go from {labels.min()} to {labels.max()}; there are {probabilities.shape[1]} classes")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite")
