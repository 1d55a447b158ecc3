"""The numbers that a table may show: where each stands in an experiment's results, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A number of each mode."""

    label: str
    """Column head, with the unit."""
    scale: float
    """From what is stored to what is shown."""
    digits: int
    """Decimals shown."""
    is_cost: bool = False
    """What a run took, not how good it is: the number of seeds is then not said in each cell."""
    signed: bool = False

    @property
    def name(self) -> str:
        """What it is called within a sentence."""
        words = self.label.removesuffix(" %")
        return words if words[1:2].isupper() else words[:1].lower() + words[1:]


METRICS = {
    "accuracy": Metric("Test accuracy %", 100, 2),
    "precision": Metric("Precision %", 100, 2),
    "recall": Metric("Recall %", 100, 2),
    "f1": Metric("F1 %", 100, 2),
    "balanced_accuracy": Metric("Balanced accuracy %", 100, 2),
    "quadratic_kappa": Metric("Quadratic kappa", 1, 3),
    "val_accuracy": Metric("Validation accuracy %", 100, 2),
    "knn_accuracy": Metric("kNN probe %", 100, 2),
    "linear_accuracy": Metric("Linear probe %", 100, 2),
    "difference": Metric("Difference, points", 100, 2, signed=True),
    "epochs": Metric("Epochs", 1, 1, is_cost=True),
    "image_passes": Metric("Image passes", 1, 0, is_cost=True),
    "gflops": Metric("TFLOPs", 1e-3, 3, is_cost=True),
    "seconds": Metric("Seconds", 1, 1, is_cost=True),
}
"""By their names in metrics/summary.json and metrics/costs.csv."""
FROM_COSTS = ("epochs", "image_passes", "gflops", "seconds")
"""Metrics that are read from metrics/costs.csv, which has a row for every training run of every mode."""
