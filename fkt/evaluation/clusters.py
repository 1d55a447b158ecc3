"""A backbone's features in clusters, whose numbers are the pseudo-labels of the training images. Sees no label."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.data.keys import key_seed

CROWDED = 0.5
"""A cluster that is more than so far on the way from an equal share, 1 / K of the images, to all of them leaves the
others too little to tell apart."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of a set of images."""

    labels: Tensor
    """(N,) int64, the cluster of each image: the one with the nearest centroid, a mean of normalized features."""
    sizes: list[int]
    """Images in each of the K clusters."""


def cluster(features: Tensor, num_clusters: int, *, n_init: int, max_iter: int, seed: int) -> Clusters:
    """Cluster features (N, D) float32 by k-means on their directions: each is divided by its length first.

    Jigsaw++ (arXiv:1805.00385) clusters the features that the pretext task has learned; which layer it takes and how
    it normalizes is unconfirmed. Here they are the pooled ones, as every probe takes them.
    n_init, max_iter: of scikit-learn's KMeans (k-means++, the best of n_init starts); seed: of the run.
    Raises ParamsError where there are more clusters than images.
    """
    if num_clusters > len(features):
        raise ParamsError(
            f"distill.clusters: {num_clusters} is more than the {len(features)} training images; give at most "
            f"{len(features)}"
        )
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    kmeans = KMeans(num_clusters, n_init=n_init, max_iter=max_iter, random_state=key_seed(seed, "kmeans") % 2**32)
    # One thread: several add up the centroids in the order in which they happen to finish.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct images than clusters: warnings_of says it
        kmeans.fit(F.normalize(features.double()).numpy())
    labels = torch.from_numpy(kmeans.labels_).to(torch.int64)
    sizes = torch.bincount(labels, minlength=num_clusters).tolist()
    return Clusters(labels, sizes)


def health(sizes: Sequence[int]) -> dict[str, float]:
    """Describe at least two clusters by their sizes: how many there are, how many are used, how even they are.

    ``entropy`` is that of the sizes relative to equal ones: 1 where all are equally large, 0 where one has all images.
    """
    shares = [size / sum(sizes) for size in sizes if size > 0]
    entropy = -sum(share * math.log(share) for share in shares) / math.log(len(sizes))
    return {
        "clusters": len(sizes),
        "used": len(shares),
        "smallest": min(sizes),
        "largest": max(sizes),
        "entropy": max(0.0, entropy),
    }


def warnings_of(sizes: Sequence[int]) -> list[str]:
    """Say what a person should know of clusters: dead ones, and one that has most of the images."""
    found = []
    dead = sum(size == 0 for size in sizes)
    if dead:
        found.append(
            f"{dead} of {len(sizes)} clusters have no image, for the teacher's features of too many images are the "
            "same; lower distill.clusters, or see whether the teacher has collapsed"
        )
    equal = 1 / len(sizes)
    if max(sizes) > (equal + CROWDED * (1 - equal)) * sum(sizes):
        found.append(
            f"{100 * max(sizes) / sum(sizes):.0f} % of the images are in one cluster; see whether the teacher has "
            "collapsed, or give it more of the budget (distill.teacher_share)"
        )
    return found
