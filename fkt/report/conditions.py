"""The conditions of a comparison in words: labels, selection, budget, teacher. Knows params and counts, no scores."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from fkt.params import Budget, Labels


def count_labelled(labels: Labels, train_counts: Sequence[int]) -> int:
    """Return how many training images have a label that a supervised loss may see; train_counts: of each class."""
    if labels.per_class is not None:
        return labels.per_class * len(train_counts)
    if labels.fraction is not None:
        return sum(max(1, int(count * labels.fraction + 0.5)) for count in train_counts)
    return sum(train_counts)


def labels_phrase(labels: Labels) -> str:
    """Return the label budget in a few words, for a title."""
    if labels.per_class is not None:
        return f"{labels.per_class} {'label' if labels.per_class == 1 else 'labels'} per class"
    if labels.fraction is not None:
        return f"{100 * labels.fraction:g} % of the labels"
    return "all labels"


def labels_sentence(labels: Labels, train_counts: Sequence[int]) -> str:
    """Say how many labels the supervised losses see."""
    labelled, total = count_labelled(labels, train_counts), sum(train_counts)
    drawn = "" if labelled == total else ", drawn anew for each seed and the same in every arm"
    return f"{labels_phrase(labels)}: {labelled:,} of {total:,} training images{drawn}"


def selection_sentence(selection: str, labelled: int, validation: int) -> str:
    """Say which weights of a run are kept; see Params.selection."""
    last = "the weights of the last step; validation images are looked at, but choose nothing"
    best = "the weights with the best accuracy on validation images, which are held out from training"
    if selection == "auto":
        if labelled < validation:
            return f"{last} (auto: {labelled:,} labelled images are fewer than the {validation:,} of validation)"
        return f"{best} (auto: {labelled:,} labelled images are no fewer than the {validation:,} of validation)"
    return last if selection == "last" else best


def budget_sentence(budget: Budget) -> str:
    """Say what an arm may spend."""
    return (
        f"{budget.passes:g} image passes (forward and backward through the backbone) per training image, unless "
        f"a section sets epochs; {100 * budget.pretrain_share:g} % of it before the labels where an arm pretrains"
    )


def teacher_sentence(clusters: Sequence[dict[str, Any]]) -> str:
    """Say whose features the distilled arm's clusters are, and how they fell, as means over seeds."""
    teacher = clusters[0]["teacher"]
    used, entropy = (statistics.fmean(found[name] for found in clusters) for name in ("used", "entropy"))
    return (
        f"{teacher['backbone']}, {teacher['width']} channels wide; its features of the training images in "
        f"{clusters[0]['clusters']} clusters, of which {used:g} have images; evenness of their sizes {entropy:.2f} "
        "(entropy relative to equal sizes)"
    )
