"""Pseudo-labels: k-means against a slow reading of its definition, and what is said of dead clusters."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.evaluation.clusters import Clusters, cluster, health, warnings_of
from tests.conftest import ROOT

NUM_GROUPS = 4


def separable(count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, 8) of very different lengths in four directions, and the group of each."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(count) % NUM_GROUPS
    directions = F.one_hot(groups, 8).float() + 0.05 * torch.randn(count, 8, generator=generator)
    return directions * (0.1 + 10 * torch.rand(count, 1, generator=generator)), groups


def fitted(features: Tensor, clusters: int = NUM_GROUPS, seed: int = 0) -> Clusters:
    return cluster(features, clusters, n_init=3, max_iter=100, seed=seed)


def test_directions_that_are_apart_are_clusters_whatever_their_lengths() -> None:
    features, groups = separable()
    found = fitted(features)
    assert normalized_mutual_info_score(groups, found.labels) == pytest.approx(1.0)
    assert found.sizes == [15] * 4 and found.labels.dtype == torch.int64


def test_an_image_is_in_the_cluster_whose_mean_is_nearest() -> None:
    features = torch.randn(80, 5, generator=torch.Generator().manual_seed(1))
    found = fitted(features, 6)
    directions = [[value / math.hypot(*row) for value in row] for row in features.double().tolist()]
    labels, means = found.labels.tolist(), []
    for number, size in enumerate(found.sizes):
        members = [row for row, label in zip(directions, labels, strict=True) if label == number]
        assert len(members) == size
        means.append([sum(column) / size for column in zip(*members, strict=True)])
    for row, label in zip(directions, labels, strict=True):
        distances = [math.dist(row, mean) for mean in means]
        assert distances[label] <= min(distances) + 1e-3  # KMeans stops when little moves


def test_the_clusters_are_the_seeds_and_nothing_elses() -> None:
    features = torch.randn(200, 6, generator=torch.Generator().manual_seed(2))
    first = fitted(features, 10).labels
    torch.rand(7)
    assert fitted(features, 10).labels.equal(first)
    assert not fitted(features, 10, seed=1).labels.equal(first)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_cluster() -> None:
    code = (
        "import torch; from fkt.evaluation.clusters import cluster;"
        "features = torch.randn(3000, 32, generator=torch.Generator().manual_seed(0));"
        "found = cluster(features, 40, n_init=2, max_iter=50, seed=0);"
        "print(found.labels.tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"distill.clusters: 9 is more than the 8 training images; give at most 8"):
        fitted(torch.randn(8, 3), 9)


def test_images_that_are_all_the_same_leave_dead_clusters_and_a_warning() -> None:
    found = fitted(torch.ones(20, 3), 4)
    assert sorted(found.sizes) == [0, 0, 0, 20]
    said = warnings_of(found.sizes)
    assert "3 of 4 clusters have no image" in said[0] and "100 % of the images are in one cluster" in said[1]


def test_healthy_clusters_are_not_warned_of() -> None:
    for sizes in ([5, 6, 4], [51, 49], [70, 30], [13, 4, 4], [50, *[1] * 50]):
        assert warnings_of(sizes) == [], sizes


def test_a_cluster_with_most_of_the_images_is_warned_of_by_how_many_clusters_there_are() -> None:
    for sizes in ([80, 20], [15, 3, 3], [53, *[1] * 50]):
        (said,) = warnings_of(sizes)
        assert "% of the images are in one cluster" in said, sizes


@pytest.mark.parametrize(
    ("sizes", "entropy"),
    [([5, 5, 5, 5], 1.0), ([20, 0, 0, 0], 0.0), ([10, 10, 0, 0], 0.5), ([1, 3], 0.8112781244591328)],
)
def test_evenness_is_the_entropy_of_the_sizes_relative_to_equal_ones(sizes: list[int], entropy: float) -> None:
    found = health(sizes)
    assert found["entropy"] == pytest.approx(entropy)
    assert (found["clusters"], found["used"]) == (len(sizes), sum(size > 0 for size in sizes))
    assert (found["smallest"], found["largest"]) == (min(sizes), max(sizes))
