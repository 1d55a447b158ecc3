"""Validation along a run, and the signs of a failed run."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from fkt.data.normalize import normalize
from fkt.data.store import Split
from fkt.models.classifier import Classifier

COLLAPSED = 0.05
"""Relative standard deviation of the features (1: evenly spread) below which they carry almost no information."""
REMEDY = "try a lower learning rate, a larger batch or another SSL method"
SIGNS: dict[str, tuple[float, str]] = {
    "feature_std": (
        COLLAPSED,
        "the features have collapsed: their standard deviation is {:.3f} of that of evenly spread features",
    ),
    "projection_std": (
        0.2,
        "the projections have collapsed into a point: their standard deviation is {:.3f} of that of evenly spread ones",
    ),
    "projection_rank": (
        2.0,
        "the projections have collapsed onto a line: the rank of their covariance (participation ratio) is {:.2f}",
    ),
    "prototypes_used": (2.0, "the prototypes have collapsed: {:.2f} of them are in use"),
}
"""Column of the learning curve -> the value below which it is a collapse, and the message."""

Validate = Callable[[], dict[str, float]]


def validation(classifier: Classifier, split: Split, batch_size: int, precision: torch.dtype) -> Validate:
    """Return a function that scores a classifier on all validation images, without augmentation.

    It returns ``val_accuracy``, ``val_loss`` (mean cross-entropy) and ``val_classes``, the number of different classes
    that are predicted; 1 is a constant prediction.
    """

    @torch.inference_mode()
    def validate() -> dict[str, float]:
        classifier.eval()
        device = next(classifier.parameters()).device
        logits = []
        for index in torch.arange(len(split)).split(batch_size):
            images = normalize(split.images(index).to(device), split.meta.mean, split.meta.std)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                logits.append(classifier(images).float())
        classifier.train()
        scores, labels = torch.cat(logits).cpu(), split.labels.cpu()  # some devices have no float64
        predicted = scores.argmax(dim=1)
        return {
            "val_accuracy": (predicted == labels).double().mean().item(),
            "val_loss": F.cross_entropy(scores.double(), labels).item(),
            "val_classes": float(len(predicted.unique())),
        }

    return validate


def warnings_of(rows: Sequence[dict[str, float]]) -> list[str]:
    """Return warnings about the end of a learning curve: collapse, a constant prediction."""
    last = rows[-1]
    found = [
        f"{words.format(last[name])}; {REMEDY}"
        for name, (least, words) in SIGNS.items()
        if name in last and last[name] < least
    ]
    if last.get("val_classes", 2.0) == 1.0:
        found.append(
            "the classifier predicts the same class for every validation image; try a longer budget or another "
            "learning rate"
        )
    return found
