"""Probes of frozen features: weighted kNN and a linear classifier. They get features and never the backbone.

Both are fitted on all training images with their labels, whatever the label budget of the run. They measure how well
the features separate the classes. The score of the run's classifier shows what the label budget allows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from fkt.params import Evaluate

Labelled = tuple[Tensor, Tensor]
"""Features (M, D) and labels (M,) int64."""
Classify = Callable[[Tensor], Tensor]
"""Features (N, D) to classes (N,) int64."""

CHUNK_ELEMENTS = 2**24
"""Largest number of similarities (64 MiB) or votes (128 MiB) in memory."""
TIE = 1e-9
"""Relative tolerance for equal votes: their sums differ by rounding."""
RESOLUTION = 1e-7
"""Relative resolution of float32. A feature whose standard deviation is smaller is constant."""


@dataclass(frozen=True)
class Probes:
    """Classes that the probes predict, and the settings that they used."""

    knn: Tensor
    """(N,) int64."""
    linear: Tensor
    """(N,) int64."""
    settings: dict[str, float]
    """``knn_neighbors`` and ``linear_l2``."""

    def scores(self, labels: Tensor) -> dict[str, float]:
        """Return knn_accuracy and linear_accuracy in [0, 1], given the true classes (N,), and the settings."""
        predicted = {"knn_accuracy": self.knn, "linear_accuracy": self.linear}
        right = {name: (classes.cpu() == labels.cpu()).double().mean().item() for name, classes in predicted.items()}
        return right | self.settings


def probe(bank: Labelled, queries: Tensor, validation: Labelled | None, params: Evaluate, num_classes: int) -> Probes:
    """Fit both probes on the features and labels of the training images, and predict the classes of queries (N, D).

    The weight of the linear probe's penalty is the candidate with the best accuracy on the validation images; of
    equally good ones, the largest. The fit of that candidate is used, not a fit on training and validation images.
    validation: None if there is a single candidate.
    """
    neighbors = effective_neighbors(bank[1], params.knn_neighbors)
    knn = knn_predict(*bank, queries, neighbors, params.knn_temperature, num_classes)
    fits = linear_fits(*bank, params.linear_l2, params.linear_iterations, num_classes)
    l2, linear = next(iter(fits.items()))
    if validation is not None:
        right = {l2: (fit(validation[0]).cpu() == validation[1].cpu()).sum().item() for l2, fit in fits.items()}
        l2, linear = max(fits.items(), key=lambda item: (right[item[0]], item[0]))
    return Probes(knn, linear(queries), {"knn_neighbors": neighbors, "linear_l2": l2})


def effective_neighbors(bank_labels: Tensor, neighbors: int) -> int:
    """Return K of the kNN probe: at most half of the training images of the smallest class, and at least 1.

    With more neighbors than a class has images, most votes come from other classes, however good the features are.
    """
    return max(1, min(neighbors, int(bank_labels.unique(return_counts=True)[1].min()) // 2))


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


def linear_fits(
    train_features: Tensor, train_labels: Tensor, candidates: Sequence[float], iterations: int, num_classes: int
) -> dict[float, Classify]:
    """Fit multinomial logistic regression on standardized features, for each candidate l2.

    train_features: (M, D). train_labels: (M,) int64. The loss is the mean cross-entropy + l2 * ||W||^2, where W (K, D)
    excludes the bias. scikit-learn's LogisticRegression minimizes the same with C = 1 / (2 * l2 * M), but not on a GPU.
    The optimizer is SciPy's L-BFGS with at most ``iterations`` iterations. The fit of the largest l2 starts from zero
    weights, each of the others from the result of the one before. The loss is computed in float64: in float32 the
    result would depend on the number of threads.
    Returns for each l2 a function from features (N, D) to classes (N,) int64, on the device of train_features.
    """
    train = train_features.detach().double()
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    std[std <= RESOLUTION * mean.abs()] = 1.0  # a constant feature is only shifted
    train, onehot = (train - mean) / std, F.one_hot(train_labels.to(train.device), num_classes).double()
    fits: dict[float, Classify] = {}
    start = np.zeros((num_classes, train.shape[1] + 1))  # the last column is the bias
    for l2 in sorted(candidates, reverse=True):

        def loss(flat: NDArray[np.float64], l2: float = l2) -> tuple[float, NDArray[np.float64]]:
            weight, bias = _unpacked(flat, train)
            log_p = (train @ weight.T + bias).log_softmax(dim=1)
            value = l2 * weight.square().sum() - (onehot * log_p).sum() / len(train)
            error = (log_p.exp() - onehot) / len(train)
            gradient = torch.cat([error.T @ train + 2 * l2 * weight, error.sum(dim=0).unsqueeze(1)], dim=1)
            return value.item(), gradient.flatten().cpu().numpy()

        options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "gtol": 1e-5, "ftol": 1e-9}
        with threadpool_limits(1, user_api="blas"):  # of SciPy: its vectors are short, and threads wait for each other
            start = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x

        def classify(features: Tensor, flat: NDArray[np.float64] = start) -> Tensor:
            weight, bias = _unpacked(flat, train)
            return ((features.detach().to(train) - mean) / std @ weight.T + bias).argmax(dim=1)

        fits[l2] = classify
    return fits


def _unpacked(flat: NDArray[np.float64], train: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight (K, D) and the bias (K,) on the device of the training features."""
    both = torch.from_numpy(flat).to(train).view(-1, train.shape[1] + 1)
    return both[:, :-1], both[:, -1]
