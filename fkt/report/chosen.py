"""metrics/model.json: which arm to use, and what its model card says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fkt.params import Params
from fkt.report.arms import Arm, Results
from fkt.report.scores import contributions
from fkt.report.statistics import Level, compare
from fkt.report.summary import DIGITS
from fkt.report.verdict import Decision, chosen_arm


def arm_in_use(arms: Sequence[Arm], decisions: Sequence[Decision]) -> tuple[str, str]:
    """Return the arm to use, and why: the verdict's, or else the one with the best validation accuracy."""
    chosen = chosen_arm(decisions)
    if chosen in [arm.mode for arm in arms]:
        return str(chosen), "by the verdict"
    best = max(arms, key=lambda arm: float(np.mean(arm.kept_val_accuracy)))
    return best.mode, "by the best validation accuracy, because the verdict names no arm"


def model_in_use(params: Params, results: Results, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of metrics/model.json. shared: see ``page.shared_content``."""
    arm, why = arm_in_use(results.arms, shared["decisions"])
    metric, confidence = params.report.metric, params.report.confidence
    return {
        "arm": arm,
        "why": why,
        "dataset": params.dataset,
        "images": shared["images"],
        "conditions": shared["conditions"],
        "verdict": [shared["answer"], *shared["sentences"]],
        "metric": metric,
        "confidence": confidence,
        "scores": {one.mode: arm_score(one, metric, confidence) for one in results.arms},
    }


def arm_score(arm: Arm, metric: str, confidence: float) -> dict[str, float]:
    """Return the mean of a score over seeds, its interval for other test images and other seeds, and ``ensemble``.

    ``ensemble`` is the score of all seeds together, by the mean of their probabilities.
    """
    values = np.stack([contributions(metric, arm.labels, one) for one in arm.probabilities])
    found = compare(arm.mode, "", values, np.zeros_like(values), Level(confidence))
    together = contributions(metric, arm.labels, arm.probabilities.mean(axis=0, dtype=np.float64))
    numbers = {"mean": found.difference, "low": found.low, "high": found.high, "ensemble": float(together.mean())}
    return {name: round(value, DIGITS) for name, value in numbers.items()} | {"seeds": len(arm.seeds)}
