"""The labelled subset of a seed, and the check of params.yaml against the prepared data."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fkt.core.arms import chain
from fkt.core.errors import ParamsError
from fkt.data.keys import keyed_generator
from fkt.data.meta import Meta
from fkt.params import Labels, Params


def labelled_index(labels: Tensor, limit: Labels, seed: int, classes: Sequence[str] = ()) -> Tensor:
    """Return the positions of the training images whose labels the supervised losses may see.

    labels: (N,) int64, of the train split, on any device. Returns (M,) int64, sorted, on the CPU. The subset depends on
    (labels, limit, seed) alone, and has its share of every class: with one seed, a smaller subset is a part of every
    larger one. Raises ParamsError if per_class is more than a class has.
    """
    if limit.per_class is None and limit.fraction is None:
        return torch.arange(len(labels))
    labels = labels.cpu()
    chosen = []
    for label in torch.unique(labels).tolist():
        members = torch.nonzero(labels == label).squeeze(1)
        if limit.per_class is not None and limit.per_class > len(members):
            name = classes[label] if classes else str(label)
            raise ParamsError(_too_many(limit.per_class, len(members), name))
        order = torch.randperm(len(members), generator=keyed_generator("labels", seed, label))
        chosen.append(members[order[: limit.count(len(members))]])
    return torch.cat(chosen).sort().values


def ssl_labelled_index(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Return the sorted positions (M,) int64 of the training images whose labels an SSL method may see.

    fraction: ssl.label_fraction, in [0, 1]. With one seed, a label budget of this fraction is the same images.
    """
    return labelled_index(labels, _limit_of(fraction), seed) if fraction else torch.zeros(0, dtype=torch.int64)


def _limit_of(fraction: float) -> Labels:
    return Labels(per_class=None, fraction=fraction if fraction < 1 else None)


def check_against_data(params: Params, meta: Meta) -> None:
    """Check params.yaml against the prepared data; sections of modes that are not trained are not checked.

    Raises ParamsError with a line for each mistake: another dataset than the prepared one, more labels than a class has
    training images, labels for SSL outside of the label budget, more images in a batch or more clusters than there are
    training images.
    """
    if params.dataset != meta.dataset:
        raise ParamsError(
            f"dataset: '{params.dataset}', but the prepared data are of '{meta.dataset}'; run 'dvc repro prepare'"
        )
    problems = []
    counts = meta.counts["train"]
    per_class, smallest = params.labels.per_class, min(counts)
    if per_class is not None and per_class > smallest:
        problems.append(_too_many(per_class, smallest, meta.classes[counts.index(smallest)]))
    problems += _outside_of_the_budget(params, meta)
    sections = dict.fromkeys(network.section for mode in params.modes for network in chain(mode))
    limited = {f"{name}.batch_size": getattr(params, name).batch_size for name in sections}
    if "distilled" in params.modes:
        limited["distill.clusters"] = params.distill.clusters
    for key, value in limited.items():
        if value > sum(counts):
            problems.append(
                f"{key}: {value} is more than the {sum(counts)} training images; give at most {sum(counts)}"
            )
    if problems:
        raise ParamsError("\n       ".join(problems))


def _outside_of_the_budget(params: Params, meta: Meta) -> list[str]:
    """Return a message if SSL would see labels that its arm may not see. Both subsets start with the same images."""
    fraction = params.ssl.label_fraction
    if not fraction:
        return []
    shares = [
        (granted / count, wanted, granted, name)
        for name, count in zip(meta.classes, meta.counts["train"], strict=True)
        if (wanted := _limit_of(fraction).count(count)) > (granted := params.labels.count(count))
    ]
    if not shares:
        return []
    largest, wanted, granted, name = min(shares)
    return [
        f'ssl.label_fraction: {fraction} is {wanted} labels of class "{name}", but the label budget grants {granted}; '
        f"give at most {largest:.3g}, or raise labels.per_class or labels.fraction"
    ]


def _too_many(wanted: int, available: int, name: str) -> str:
    return (
        f'labels.per_class: {wanted} is more than the {available} training images of class "{name}"; '
        f"give at most {available}, or use labels.fraction"
    )
