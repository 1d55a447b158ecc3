"""Signs that a training failed, so that its scores say nothing about its arm. Pure functions of what the stages wrote.

Each sign is one sentence with its numbers. An arm without a sign can still be weak. The limits below are wide: a run
that trains as it should has none of these signs. Does not import torch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom, norm

from fkt.core.arms import MIN_STEPS
from fkt.report.arms import Arm

LEVEL = 0.01
"""Level of the one-sided tests against chance. With 5 %, one of 20 arms that learned nothing would pass each test."""
MIN_ROWS = 2
"""Fewest rows of a learning curve. With a single one, nothing shows whether the training made progress."""
LAST_SHARE, FALLING = 0.2, 0.2
"""A loss still falls fast if this last share of the steps has more than this share of its whole fall: it then falls at
the end as fast as on average."""
COLLAPSED = 0.2
"""Smallest ratio of the features' last standard deviation to their largest one. Healthy runs end near the largest."""
DEVIATIONS = 5.0
"""Robust standard deviations below the median of the other seeds, at which a seed is an outlier. A normal distribution
has one such value in three million. The deviation is at least the binomial one of this number of test images: few
seeds can have equal scores by chance."""
LOSSES = {"ce": "cross-entropy", "ssl": "SSL loss", "pseudo": "cross-entropy on the clusters"}
"""Columns of the learning curve. Not the total: it also falls when the weights of its parts fall."""

Labels = NDArray[np.int64]


def majority_scores(train_counts: Sequence[int], labels: Labels) -> dict[str, float]:
    """Return the scores of predicting the most frequent training class (the first of equals) for every test image.

    train_counts: training images of each of the K classes. labels: (N,) true classes of the test images.
    """
    accuracy = float(np.mean(labels == np.argmax(train_counts)))
    return {
        "accuracy": accuracy,
        "balanced_accuracy": float(accuracy > 0) / len(np.unique(labels)),
        "macro_precision": accuracy / len(train_counts),
        "macro_recall": float(accuracy > 0) / len(train_counts),
        "macro_f1": 2 * accuracy / (1 + accuracy) / len(train_counts),
        "auroc": 0.5,
    }


def chance_p(labels: Labels, predicted: Labels, majority: float) -> float:
    """Return the p-value of predictions that say nothing about the labels; small if they are above chance.

    labels: (N,). predicted: (S, N). majority: accuracy of the most frequent training class. This is the smaller of two
    one-sided p-values, for means over the seeds, as all seeds have the same images: a binomial test of the accuracy,
    and a normal test of the balanced accuracy against 1 / K. With unequal classes, a useful classifier can be below the
    accuracy of the most frequent class, but not below 1 / K.
    """
    correct = math.floor((predicted == labels).mean(axis=0).sum() + 1e-9)
    of_accuracy = float(binom.sf(correct - 1, len(labels), majority))
    classes, images = np.unique(labels, return_counts=True)
    recall = np.array([(predicted[:, labels == number] == number).mean() for number in classes])
    share = np.array([(predicted == number).mean() for number in classes])
    # Without a relation to the labels, the recall of a class is the share of the predictions that name it.
    deviation = math.sqrt((share * (1 - share) / images).sum())
    excess = (recall - share).sum()
    of_balanced = float(norm.sf(excess / deviation)) if deviation > 0 else 1.0
    return min(of_accuracy, of_balanced)


def arm_failures(arm: Arm, train_counts: Sequence[int]) -> list[str]:
    """Return a sentence for each sign that an arm's training failed, with the arm's name.

    train_counts: training images of each class; ``counts`` in meta.json.
    """
    found = failures(arm.curves, arm.costs, arm.seeds, arm.labels, arm.predicted, train_counts)
    return [f"{arm.mode}: {sentence}" for sentence in found]


def failures(
    curves: pd.DataFrame,
    costs: Sequence[Sequence[Mapping[str, Any]]],
    seeds: Sequence[int],
    labels: Labels,
    predicted: Labels,
    train_counts: Sequence[int],
) -> list[str]:
    """Return a sentence for each sign that the training of an arm failed.

    curves: learning curves with the columns seed, stage, step, and losses. costs: for each seed, the cost of each
    training stage. labels: (N,) true classes of the test images. predicted: (S, N) predicted classes.
    """
    majority = majority_scores(train_counts, labels)["accuracy"]
    found = _near_chance(seeds, labels, predicted, majority)
    for stage, steps in {part["stage"]: part["steps"] for parts in costs for part in parts}.items():
        if steps < MIN_STEPS:
            found.append(f"{stage} has {steps} optimizer steps, fewer than {MIN_STEPS}; raise budget.passes")
        rows = curves[curves["stage"] == stage]
        by_seed = {int(seed): group for seed, group in rows.groupby("seed", sort=False)}
        if min(len(group) for group in by_seed.values()) < MIN_ROWS:
            found.append(f"{stage} has fewer than {MIN_ROWS} checks; raise budget.checks")
            continue
        loss = {seed: group["loss"] for seed, group in by_seed.items()}
        found += _of_seeds(loss, _not_finite, f"the loss of {stage} {{}}; lower the learning rate")
        for column, name in LOSSES.items():
            if column == "ssl" and "weight_ssl" in rows and rows["weight_ssl"].eq(0).all():
                continue  # lambda 0: the SSL loss is logged and not trained
            losses = _column(by_seed, column)
            found += _of_seeds(losses, _not_falling, f"the {name} of {stage} {{}}; change the learning rate")
            found += _of_seeds(losses, _falling, f"the {name} of {stage} {{}}; raise budget.passes")
        found += _of_seeds(_column(by_seed, "feature_std"), _collapsed, f"the features of {stage} collapsed: {{}}")
    return found


def _near_chance(seeds: Sequence[int], labels: Labels, predicted: Labels, majority: float) -> list[str]:
    accuracy, baseline = (predicted == labels).mean(axis=1), f"{100 * majority:.1f} %"
    p = chance_p(labels, predicted, majority)
    if p >= LEVEL:
        return [
            f"the test accuracy, {100 * accuracy.mean():.1f} %, is not clearly above the {baseline} of predicting the "
            f"most frequent class (p = {p:.2g})"
        ]
    found = []
    for position, seed in enumerate(seeds[: len(seeds) if len(seeds) > 2 else 0]):
        others = np.delete(accuracy, position)
        median = np.median(others)
        spread = 1.4826 * np.median(np.abs(others - median))  # the standard deviation of a normal distribution
        deviation = max(spread, math.sqrt(median * (1 - median) / len(labels)))
        alone = chance_p(labels, predicted[position : position + 1], majority)
        if accuracy[position] < median - DEVIATIONS * deviation and alone >= LEVEL:
            found.append(
                f"seed {seed} failed alone: its test accuracy is {100 * accuracy[position]:.1f} %, the median of the "
                f"other seeds {100 * median:.1f} %, and predicting the most frequent class gives {baseline}"
            )
    return found


def _of_seeds(values: Mapping[int, pd.Series], sign: Callable[[pd.Series], str | None], sentence: str) -> list[str]:
    """Return a sentence about the first seed that shows a sign, which also names the other seeds that do."""
    shown = {seed: words for seed, value in values.items() if (words := sign(value)) is not None}
    if not shown:
        return []
    noun = "seed" if len(shown) == 1 else "seeds"
    return [f"{sentence.format(next(iter(shown.values())))} ({noun} {', '.join(map(str, shown))})"]


def _column(by_seed: Mapping[int, pd.DataFrame], name: str) -> dict[int, pd.Series]:
    """Return a column of each seed's learning curve, by step, without the rows that lack it."""
    known = {seed: group.set_index("step")[name].dropna() for seed, group in by_seed.items() if name in group.columns}
    return {seed: column for seed, column in known.items() if len(column) > 1}


def _not_finite(loss: pd.Series) -> str | None:
    wrong = loss[~np.isfinite(loss)]
    return f"became {wrong.iloc[0]}" if len(wrong) else None


def _not_falling(loss: pd.Series) -> str | None:
    first, last = loss.iloc[0], loss.iloc[-1]
    return f"did not fall: {first:.5g} at the start, {last:.5g} at the end" if last >= first else None


def _falling(loss: pd.Series) -> str | None:
    steps = loss.index.to_numpy(float)
    whole = loss.iloc[0] - loss.iloc[-1]
    last = np.interp((1 - LAST_SHARE) * steps[-1], steps, loss) - loss.iloc[-1]
    if whole > 0 and last > FALLING * whole:
        return f"was still falling fast: the last fifth of the steps has {100 * last / whole:.0f} % of its whole fall"
    return None


def _collapsed(spread: pd.Series) -> str | None:
    last, largest = spread.iloc[-1], spread.max()
    if last < COLLAPSED * largest:
        return f"their standard deviation fell from {largest:.3g} to {last:.3g} (1: evenly spread)"
    return None
