"""Clusters of a backbone's features. The cluster of a training image is its pseudo-label. Uses no labels."""

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
"""A cluster is too large if its share of the images is more than halfway from an equal share, 1 / K, to all images."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of a set of images."""

    labels: Tensor
    """(N,) int64: the cluster of each image."""
    sizes: list[int]
    """Number of images in each of the K clusters."""


def cluster(features: Tensor, num_clusters: int, *, n_init: int, max_iter: int, seed: int) -> Clusters:
    """Cluster features (N, D) float32 by k-means, after each feature vector is divided by its length.

    Jigsaw++ (arXiv:1805.00385) clusters the features of the pretext task. It is unconfirmed which layer the paper uses
    and how it normalizes. Here they are the pooled features, as for the probes.
    n_init, max_iter: see scikit-learn's KMeans (k-means++, best of n_init starts). seed: the run's seed.
    Raises ParamsError if there are more clusters than images.
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
    # One thread: the sums of several threads depend on the order in which they finish.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct images than clusters; see warnings_of
        kmeans.fit(F.normalize(features.double()).cpu().numpy())
    labels = torch.from_numpy(kmeans.labels_).to(torch.int64)
    return Clusters(labels, torch.bincount(labels, minlength=num_clusters).tolist())


def health(sizes: Sequence[int]) -> dict[str, float]:
    """Return the number of clusters, of used clusters, the smallest and the largest size, and the relative entropy.

    The relative entropy is 1 if all clusters have the same size and 0 if one cluster has all images. At least two
    clusters.
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
    """Return a warning if clusters are empty, and a warning if one cluster has most of the images."""
    found = []
    if 0 in sizes:
        found.append(
            f"{sizes.count(0)} of {len(sizes)} clusters have no image, because the teacher gives too many images the "
            "same features; lower distill.clusters, or check whether the teacher has collapsed"
        )
    equal = 1 / len(sizes)
    if max(sizes) > (equal + CROWDED * (1 - equal)) * sum(sizes):
        found.append(
            f"{100 * max(sizes) / sum(sizes):.0f} % of the images are in one cluster; check whether the teacher has "
            "collapsed, or give it more of the budget (distill.teacher_share)"
        )
    return found
