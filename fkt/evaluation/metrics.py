"""Scores of a classifier on labelled images, from probabilities and labels. Nothing is rounded.

Definitions for special cases:

* A class without test images has no recall. ``macro_*`` count it as 0. ``balanced_accuracy`` leaves it out, and
  ``weighted_*`` give it weight 0.
* A class that is never predicted has precision 0.
* ``macro_f1`` is the mean of the classes' F1 scores, not the F1 score of the mean precision and mean recall.
* ``quadratic_kappa`` is 0 if all labels and all predictions are the same class (0/0).
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

Probabilities = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64]


def scores(probabilities: Probabilities, labels: Labels, bins: int) -> dict[str, float]:
    """Return all scores of a run. All are in [0, 1], except quadratic_kappa, which is in [-1, 1].

    probabilities: (N, K), each row sums to 1. labels: (N,) in 0..K-1, N >= 1. The predicted class is the most probable
    one; the lowest class wins ties. bins: number of bins of the calibration error.
    Raises ValueError if the arrays do not fit together or a probability is not finite.
    """
    shape, low, high = probabilities.shape, labels.min(), labels.max()
    if labels.shape != shape[:1] or low < 0 or high >= shape[1]:
        raise ValueError(f"labels {labels.shape} from {low} to {high} do not fit probabilities {shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite; train the model again with a lower learning rate")
    predicted, classes = probabilities.argmax(axis=1), range(shape[1])
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    several = len(np.union1d(labels, predicted)) > 1
    kappa = cohen_kappa_score(labels, predicted, labels=classes, weights="quadratic") if several else 0.0
    result = {
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": recall[images > 0].mean(),
        "quadratic_kappa": kappa,
        "calibration_error": calibration_error(probabilities, labels, bins),
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        result |= {f"macro_{name}": values.mean(), f"weighted_{name}": values @ images / len(labels)}
    return {name: float(value) for name, value in result.items()}


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
