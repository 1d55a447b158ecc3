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

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

Probabilities = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64]
TOP = 5
"""Rank of ``top5_accuracy``. With no more classes than this, every prediction is right."""


def scores(probabilities: Probabilities, labels: Labels, bins: int, *, ordered: bool = False) -> dict[str, float]:
    """Return all scores of a run. All are in [0, 1], except quadratic_kappa, which is in [-1, 1].

    probabilities: (N, K), each row sums to 1. labels: (N,) in 0..K-1, N >= 1. The predicted class is the most probable
    one; the lowest class wins ties. bins: number of bins of the calibration error. ordered: whether the classes are
    ordered; only then quadratic_kappa is a score.
    ``auroc`` is the area under the ROC curve: of the second class if there are two classes, otherwise the mean over
    classes of one class against the rest. Two classes also have ``sensitivity`` and ``specificity``; the second class
    is the positive one. A score that is not defined is left out. The report computes the scores of each class.
    Raises ValueError if the arrays do not fit together or a probability is not finite.
    """
    shape, low, high = probabilities.shape, labels.min(), labels.max()
    if labels.shape != shape[:1] or low < 0 or high >= shape[1]:
        raise ValueError(f"labels {labels.shape} from {low} to {high} do not fit probabilities {shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite; train the model again with a lower learning rate")
    predicted, classes = probabilities.argmax(axis=1), range(shape[1])
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    found = recall.copy()
    found[images == 0] = np.nan
    auroc = np.array([_auroc(labels == number, probabilities[:, number]) for number in classes])
    result = {
        "accuracy": accuracy_score(labels, predicted),
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
        result["top5_accuracy"] = top_k_accuracy_score(labels, probabilities, k=TOP, labels=classes)
    if ordered:
        several = len(np.union1d(labels, predicted)) > 1
        result["quadratic_kappa"] = (
            cohen_kappa_score(labels, predicted, labels=classes, weights="quadratic") if several else 0.0
        )
    return {name: float(value) for name, value in result.items() if not np.isnan(value)}


def _auroc(positive: NDArray[np.bool_], score: Probabilities) -> float:
    """Area under the ROC curve; nan if all images are positive, or none."""
    return float(roc_auc_score(positive, score)) if 0 < positive.sum() < len(positive) else np.nan


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
