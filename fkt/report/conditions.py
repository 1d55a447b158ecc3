"""The conditions of a comparison in words: labels, selection, budget, teacher. Knows params and counts, no scores."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from fkt.params import Budget, Joint, Labels


def labels_phrase(labels: Labels) -> str:
    """Return the label budget in a few words, for a title."""
    if labels.per_class is not None:
        return f"{labels.per_class} {'label' if labels.per_class == 1 else 'labels'} per class"
    if labels.fraction is not None:
        return f"{100 * labels.fraction:g} % of the labels"
    return "all labels"


def labels_sentence(labels: Labels, train_counts: Sequence[int]) -> str:
    """Say how many labels the supervised losses see."""
    labelled, total = sum(map(labels.count, train_counts)), sum(train_counts)
    drawn = "" if labelled == total else ", drawn anew for each seed and the same in every arm"
    return f"{labels_phrase(labels)}: {labelled:,} of {total:,} training images{drawn}"


def ssl_labels_sentence(fraction: float) -> str:
    """Say which labels the self-supervised method sees; fraction: ssl.label_fraction, above 0."""
    share = "all labels" if fraction == 1 else f"{100 * fraction:g} % of each class's labels"
    return f"{share}, in pretraining and in the joint run alike; they are among those of the label budget"


def selection_sentence(selection: str, labelled: int, validation: int) -> str:
    """Say which weights of a run are kept; see Params.selection."""
    last = "the weights of the last step; validation images are looked at, but choose nothing"
    best = "the weights with the best accuracy on validation images, which are held out from training"
    if selection == "auto":
        if labelled < validation:
            return f"{last} (auto: {labelled:,} labelled images are fewer than the {validation:,} of validation)"
        return f"{best} (auto: {labelled:,} labelled images are no fewer than the {validation:,} of validation)"
    return last if selection == "last" else best


def lambda_phrase(ssl_weight: float, joint: Joint) -> str:
    """Return how the losses of the joint run are weighed in a few words, for a title."""
    return f"lambda {ssl_weight:g}" + ("" if joint.balance == "fixed" else f" ({joint.balance})")


def balance_sentence(ssl_weight: float, joint: Joint) -> str:
    """Say what the joint run minimizes; see Joint.balance."""
    value = f"lambda = {ssl_weight:g}"
    match joint.balance:
        case "fixed":
            return f"cross-entropy + {ssl_weight:g} * self-supervised loss ({value})"
        case "schedule":
            warmup, curve = joint.schedule.warmup_fraction, joint.schedule.curve
            rises = f"rises from 0 over the first {100 * warmup:g} % of the run, then " if warmup else ""
            stays = "stays 1" if curve == "constant" else f"falls from 1 to 0 along a {_CURVES[curve]}"
            return f"cross-entropy + lambda * share * self-supervised loss, {value}; the share {rises}{stays}"
        case "uncertainty":
            return (
                "cross-entropy / v + log(v) / 2 + lambda * (self-supervised loss / w + log(w) / 2) with learned "
                f"variances v and w (arXiv:1705.07115), {value}"
            )
        case "gradnorm":
            return (
                "c * cross-entropy + lambda * s * self-supervised loss with weights c + s = 2 learned by GradNorm "
                f"(arXiv:1711.02257, alpha {joint.gradnorm.alpha:g}), {value}"
            )


_CURVES = {"linear": "line", "cosine": "cosine"}


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
