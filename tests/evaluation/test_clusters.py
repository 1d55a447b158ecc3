"""Pseudo-labels: k-means against its definition, and the warnings about unhealthy clusters."""

import os
import subprocess
import sys

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.evaluation.clusters import Clusters, cluster, health, warnings_of
from tests.conftest import ROOT


def fitted(features: torch.Tensor, clusters: int, seed: int = 0) -> Clusters:
    return cluster(features, clusters, n_init=3, max_iter=100, seed=seed)


def test_features_of_different_directions_are_separated_whatever_their_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(60) % 4
    directions = F.one_hot(groups, 8).float() + 0.05 * torch.randn(60, 8, generator=generator)
    found = fitted(directions * (0.1 + 10 * torch.rand(60, 1, generator=generator)), 4)
    assert normalized_mutual_info_score(groups, found.labels) == pytest.approx(1.0)
    assert found.sizes == [15] * 4 and found.labels.dtype == torch.int64


def test_clusters_depend_on_the_seed_and_not_on_earlier_random_numbers() -> None:
    features = torch.randn(200, 6, generator=torch.Generator().manual_seed(2))
    first = fitted(features, 10).labels
    torch.rand(7)
    assert fitted(features, 10).labels.equal(first)
    assert not fitted(features, 10, seed=1).labels.equal(first)


@pytest.mark.slow
def test_clusters_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import torch; from fkt.evaluation.clusters import cluster;"
        "features = torch.randn(3000, 32, generator=torch.Generator().manual_seed(0));"
        "print(cluster(features, 40, n_init=2, max_iter=50, seed=0).labels.tolist())"
    )
    printed = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", code]
        printed.add(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)
    assert len(printed) == 1


def test_more_clusters_than_images_raise_an_error() -> None:
    with pytest.raises(ParamsError, match=r"distill.clusters: 9 is more than the 8 training images; give at most 8"):
        fitted(torch.randn(8, 3), 9)


def test_equal_features_give_empty_clusters_and_warnings() -> None:
    found = fitted(torch.ones(20, 3), 4)
    assert sorted(found.sizes) == [0, 0, 0, 20]
    empty, crowded = warnings_of(found.sizes)
    assert "3 of 4 clusters have no image" in empty and "100 % of the images are in one cluster" in crowded


@pytest.mark.parametrize(
    ("sizes", "crowded"),
    [
        *((sizes, False) for sizes in ([5, 6, 4], [51, 49], [70, 30], [13, 4, 4], [50, *[1] * 50])),
        *((sizes, True) for sizes in ([80, 20], [15, 3, 3], [53, *[1] * 50])),
    ],
)
def test_a_cluster_with_too_large_a_share_gives_a_warning(sizes: list[int], crowded: bool) -> None:
    assert ["% of the images are in one cluster" in warning for warning in warnings_of(sizes)] == [True] * crowded


def test_health_gives_the_relative_entropy_and_the_sizes() -> None:
    found = {"clusters": 4, "used": 2, "smallest": 0, "largest": 10, "entropy": pytest.approx(0.5)}
    assert health([10, 10, 0, 0]) == found
    assert [health(sizes)["entropy"] for sizes in ([5, 5], [20, 0], [1, 3])] == pytest.approx([1, 0, 0.8112781244591])
