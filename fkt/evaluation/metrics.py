"""Scores of a classifier on labelled images, from probabilities and labels. Nothing is rounded.

Definitions for special cases:

* A class without test images has no recall. ``macro_*`` count it as 0. ``balanced_accuracy`` and ``auroc`` leave it
  out, and ``weighted_*`` give it weight 0.
* A class that is never predicted has precision 0.
* ``macro_f1`` is the mean of the classes' F1 scores, not the F1 score of the mean precision and mean recall.
* ``quadratic_kappa`` is 0 if all labels and all predictions are the same class (0/0).
* A score that is not defined is missing: the AUROC if all test images are of one class, or the recall, sensitivity,
  specificity or AUROC of a class without test images.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64]
TOP = 5
"""Rank of ``top5_accuracy``. With no more classes than this, every prediction is right."""


def scores(probabilities: Probabilities, labels: Labels, bins: int, *, ordered: bool = False) -> dict[str, Any]:
    """Return all scores of a run. All are in [0, 1], except quadratic_kappa, which is in [-1, 1].

    probabilities: (N, K), each row sums to 1. labels: (N,) in 0..K-1, N >= 1. The predicted class is the most probable
    one; the lowest class wins ties. bins: number of bins of the calibration error. ordered: whether the classes are
    ordered; only then quadratic_kappa is a score.
    ``auroc`` is the area under the ROC curve: of the second class if there are two classes, otherwise the mean over
    classes of one class against the rest. ``per_class`` has precision, recall, f1, auroc and the number of test images
    of each class. Two classes also have ``sensitivity`` and ``specificity``; the second class is the positive one.
    Raises ValueError if the arrays do not fit together or a probability is not finite.
    """
    shape, low, high = probabilities.shape, labels.min(), labels.max()
    if labels.shape != shape[:1] or low < 0 or high >= shape[1]:
        raise ValueError(f"labels {labels.shape} from {low} to {high} do not fit probabilities {shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite; train the model again with a lower learning rate")
    classes = np.arange(shape[1])
    counts = confusion(labels, probabilities.argmax(axis=1), shape[1])
    hits, images, called = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall, f1 = _share(hits, called), _share(hits, images), _share(2 * hits, images + called)
    found = np.where(images > 0, recall, np.nan)
    auroc = np.array([_auroc(labels == number, probabilities[:, number]) for number in classes])
    result = {
        "accuracy": hits.sum() / len(labels),
        "balanced_accuracy": np.nanmean(found),
        "calibration_error": calibration_error(probabilities, labels, bins),
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        result |= {f"macro_{name}": values.mean(), f"weighted_{name}": values @ images / len(labels)}
    if np.isfinite(auroc).any():
        result["auroc"] = auroc[1] if len(classes) == 2 else np.nanmean(auroc)
    if len(classes) == 2:
        result |= {"sensitivity": found[1], "specificity": found[0]}
    if len(classes) > TOP:
        own = probabilities[np.arange(len(labels)), labels][:, None]
        before = (probabilities > own) | ((probabilities == own) & (classes < labels[:, None]))
        result["top5_accuracy"] = (before.sum(axis=1) < TOP).mean()
    if ordered:
        weights = (classes[:, None] - classes) ** 2
        expected = (weights * np.outer(images, called)).sum() / len(labels)
        result["quadratic_kappa"] = 1 - (weights * counts).sum() / expected if expected else 0.0
    columns = {"precision": precision, "recall": found, "f1": f1, "auroc": auroc}
    rows = [_defined({name: values[number] for name, values in columns.items()}) for number in classes]
    per_class = [row | {"images": int(count)} for row, count in zip(rows, images, strict=True)]
    return _defined(result) | {"per_class": per_class}


def confusion(labels: Labels, predicted: Labels, num_classes: int) -> Labels:
    """Return the number of images (K, K) of each actual class (row) and predicted class (column)."""
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def _share(part: Labels, whole: Labels) -> NDArray[np.float64]:
    """Quotient; 0 where it is 0/0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _auroc(positive: NDArray[np.bool_], score: Probabilities) -> float:
    """Share of the pairs of a positive and another image in which the positive one has the higher score.

    Of equal scores it is half. nan if all images are positive, or none.
    """
    pairs = positive.sum() * (~positive).sum()
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (counts.cumsum() - (counts - 1) / 2)[index]  # from 1; equal scores share the mean of their ranks
    first = positive.sum() * (positive.sum() + 1) / 2  # sum of the ranks if the positive images had the lowest scores
    return float((rank[positive].sum() - first) / pairs) if pairs else np.nan


def _defined(values: dict[str, Any]) -> dict[str, Any]:
    """Return plain numbers, without those that are nan."""
    return {name: float(value) for name, value in values.items() if not np.isnan(value)}


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int) -> float:
    """Expected calibration error (arXiv:1706.04599, Eq. 3): mean gap between confidence and accuracy, in [0, 1].

    The confidence is the largest probability. Bin m of M bins has the confidences in ((m-1)/M, m/M], and its weight is
    its share of the images. The estimate is biased upwards if bins have few images.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    member = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(member, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
