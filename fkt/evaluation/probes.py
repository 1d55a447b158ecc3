"""Probes of frozen features: weighted kNN and a linear classifier. They get features and never the backbone.

Both are fitted on all training images with their labels, whatever the label budget of the run. They measure how well
the features separate the classes. The score of the run's classifier shows what the label budget allows.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.core.eager import eager
from fkt.params import Evaluate

CHUNK_ELEMENTS = 2**24
"""Largest number of similarities (64 MiB) or votes (128 MiB) in memory."""
TIE = 1e-9
"""Relative tolerance for equal votes: their sums differ by rounding."""
RESOLUTION = 1e-7
"""Relative resolution of float32. A feature whose standard deviation is smaller is constant."""


def probe_scores(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, params: Evaluate, num_classes: int
) -> dict[str, float]:
    """Return knn_accuracy and linear_accuracy, in [0, 1], of queries (N, D), given the training features (M, D)."""
    knn = knn_predict(bank, bank_labels, queries, params.knn_neighbors, params.knn_temperature, num_classes)
    linear = linear_predict(bank, bank_labels, queries, params.linear_l2, params.linear_iterations, num_classes)
    right = {"knn_accuracy": knn == labels.to(knn.device), "linear_accuracy": linear == labels.to(linear.device)}
    return {name: value.double().mean().item() for name, value in right.items()}


@torch.no_grad()
def knn_predict(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, neighbors: int, temperature: float, num_classes: int
) -> Tensor:
    """Predict classes by weighted k-nearest neighbors (InstDisc, arXiv:1805.01978, section 3.4).

    bank: (M, D) features of the training images. bank_labels: (M,) int64. queries: (N, D).
    Each of the ``neighbors`` nearest training images (at most M) by cosine similarity votes for its class with the
    weight exp(cosine / temperature). Of equally near images the first in the bank is nearer. Of classes with equal
    votes the lowest wins. Returns (N,) int64 on the bank's device.
    """
    bank, queries, bank_labels = F.normalize(bank), F.normalize(queries.to(bank)), bank_labels.to(bank.device)
    neighbors = min(neighbors, len(bank))
    rows = max(1, CHUNK_ELEMENTS // max(len(bank), neighbors * num_classes))
    predicted = []
    for chunk in torch.split(queries, rows):
        similarity, index = _nearest(chunk @ bank.T, neighbors)
        # Relative to the largest similarity: the same winner, and exp cannot overflow.
        weight = ((similarity - similarity[:, :1]).double() / temperature).exp()
        classes = F.one_hot(bank_labels[index], num_classes).double()  # (n, neighbors, K)
        votes = torch.einsum("nk,nkc->nc", weight, classes)
        predicted.append((votes >= votes.amax(dim=1, keepdim=True) * (1 - TIE)).int().argmax(dim=1))
    return torch.cat(predicted)


def _nearest(similarity: Tensor, neighbors: int) -> tuple[Tensor, Tensor]:
    """Return the largest similarities of each row, in descending order, and their positions. The first wins ties."""
    values, index = similarity.topk(neighbors, dim=1)
    # topk leaves out any of several equal values. Only rows where it does so need the slower stable sort.
    last = values[:, -1:]
    split_ties = (similarity == last).sum(dim=1) > (values == last).sum(dim=1)
    if split_ties.any():
        index[split_ties] = similarity[split_ties].argsort(dim=1, descending=True, stable=True)[:, :neighbors]
    return values, index


def linear_predict(
    train_features: Tensor, train_labels: Tensor, queries: Tensor, l2: float, iterations: int, num_classes: int
) -> Tensor:
    """Predict classes by multinomial logistic regression on standardized features.

    train_features: (M, D). train_labels: (M,) int64. queries: (N, D). The loss is the mean cross-entropy
    + l2 * ||W||^2, where W (K, D) excludes the bias. scikit-learn's LogisticRegression minimizes the same with
    C = 1 / (2 * l2 * M). The optimizer is full-batch L-BFGS with at most ``iterations`` iterations, from zero weights.
    It computes in float64: in float32 the result would depend on the number of threads.
    Returns (N,) int64 on the device of train_features.
    """
    train = train_features.detach().double()
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    std[std <= RESOLUTION * mean.abs()] = 1.0  # a constant feature is only shifted
    train, rest = (train - mean) / std, (queries.detach().to(train) - mean) / std
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
