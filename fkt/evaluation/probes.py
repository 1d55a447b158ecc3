"""Probes of frozen features: weighted kNN and a linear classifier. They see features, never the backbone.

Both are fitted on all training images with their labels, whatever label budget the run had: they measure how well
the features separate the classes, not what a user with few labels would get. That is the classifier's own score.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.core.eager import eager
from fkt.params import Evaluate

CHUNK_ELEMENTS = 2**24
"""Similarities, or votes, that are held at once: 64 MiB or 128 MiB."""
TIE = 1e-9
"""Votes that differ by less than this share are equal: what is left is the order of additions."""
RESOLUTION = 1e-7
"""Relative resolution of float32: a feature that varies less over the training images is constant."""


def probe_scores(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, params: Evaluate, num_classes: int
) -> dict[str, float]:
    """Return knn_accuracy and linear_accuracy in [0, 1] of queries (N, D), given the training features (M, D)."""
    knn = knn_predict(bank, bank_labels, queries, params.knn_neighbors, params.knn_temperature, num_classes)
    linear = linear_predict(bank, bank_labels, queries, params.linear_l2, params.linear_iterations, num_classes)
    return {
        "knn_accuracy": (knn == labels.to(knn.device)).double().mean().item(),
        "linear_accuracy": (linear == labels.to(linear.device)).double().mean().item(),
    }


@torch.no_grad()
def knn_predict(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    neighbors: int,
    temperature: float,
    num_classes: int,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> Tensor:
    """Weighted k-nearest-neighbor prediction (InstDisc, arXiv:1805.01978, section 3.4).

    bank: (M, D) features and bank_labels (M,) int64 of the training images; queries: (N, D). On features of length 1,
    each of the ``neighbors`` nearest by cosine (all M where there are fewer) votes for its class with weight
    exp(cosine / temperature). Among equal cosines the lowest position in the bank is nearest, and among equal votes
    the lowest class wins. Returns (N,) int64 on the device of the bank.
    """
    bank, queries, bank_labels = F.normalize(bank), F.normalize(queries.to(bank)), bank_labels.to(bank.device)
    neighbors = min(neighbors, len(bank))
    rows = max(1, chunk_elements // max(len(bank), neighbors * num_classes))
    predicted = []
    for chunk in torch.split(queries, rows):
        similarity, index = _nearest(chunk @ bank.T, neighbors)
        # the largest weight of each query is 1, which leaves the winner as it is and cannot overflow
        weight = ((similarity - similarity[:, :1]).double() / temperature).exp()
        classes = F.one_hot(bank_labels[index], num_classes).double()  # (n, neighbors, K)
        votes = torch.einsum("nk,nkc->nc", weight, classes)
        predicted.append((votes >= votes.amax(dim=1, keepdim=True) * (1 - TIE)).int().argmax(dim=1))
    return torch.cat(predicted)


def _nearest(similarity: Tensor, neighbors: int) -> tuple[Tensor, Tensor]:
    """Return the largest similarities of each row in descending order, and their positions; ties go to the lowest."""
    values, index = similarity.topk(neighbors, dim=1)
    # topk does not say which of several equal values it leaves out; only such rows need the slower stable sort
    last = values[:, -1:]
    split_ties = (similarity == last).sum(dim=1) > (values == last).sum(dim=1)
    if split_ties.any():
        index[split_ties] = similarity[split_ties].argsort(dim=1, descending=True, stable=True)[:, :neighbors]
    return values, index


def linear_predict(
    train_features: Tensor, train_labels: Tensor, queries: Tensor, l2: float, iterations: int, num_classes: int
) -> Tensor:
    """Prediction of a multinomial logistic regression on frozen features.

    train_features: (M, D), train_labels: (M,) int64, queries: (N, D). Features are standardized by the mean and
    deviation of the training ones. The loss is the mean cross-entropy + l2 * ||W||^2, W (K, D) without the bias:
    scikit-learn's LogisticRegression with C = 1 / (2 * l2 * M). It is convex; full-batch L-BFGS with strong-Wolfe
    line search goes down from zero for at most ``iterations`` steps. In float64: the end point then agrees to many
    digits whatever the number of threads, which in float32 it does not. Returns (N,) int64 on the features' device.
    """
    train, rest = _standardized(train_features.detach().double(), queries.to(train_features).detach().double())
    labels = train_labels.to(train.device)
    weight = train.new_zeros(num_classes, train.shape[1], requires_grad=True)
    bias = train.new_zeros(num_classes, requires_grad=True)
    optimizer = eager(torch.optim.LBFGS)(
        [weight, bias],
        max_iter=iterations,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(train, weight, bias), labels) + l2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return F.linear(rest, weight, bias).detach().argmax(dim=1)


def _standardized(train: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale both by the training features' mean and deviation; a constant feature is only shifted."""
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    std[std <= RESOLUTION * mean.abs()] = 1.0
    return (train - mean) / std, (queries - mean) / std
