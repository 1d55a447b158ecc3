"""Probes against loops, scikit-learn, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from fkt.evaluation.probes import knn_predict, linear_predict, probe_scores
from fkt.params import Evaluate

CLASSES = 4


def _clusters(num_images: int, seed: int, size: int = 6, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Overlapping clusters, so that the probes have something to be wrong about."""
    centers = torch.randn(CLASSES, size, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (num_images,), generator=generator)
    return centers[labels] + noise * torch.randn(num_images, size, generator=generator), labels


@pytest.fixture
def bank() -> tuple[Tensor, Tensor]:
    return _clusters(90, seed=0)


@pytest.fixture
def queries() -> tuple[Tensor, Tensor]:
    return _clusters(60, seed=1)


def _slow_knn(bank: Tensor, labels: Tensor, queries: Tensor, neighbors: int, temperature: float) -> list[int]:
    predicted = []
    for query in queries.double().tolist():
        ranked = []
        for position, row in enumerate(bank.double().tolist()):
            dot = sum(q * r for q, r in zip(query, row, strict=True))
            cosine = dot / math.sqrt(sum(q * q for q in query) * sum(r * r for r in row))
            ranked.append((-cosine, position))
        votes = [0.0] * CLASSES
        for negative, position in sorted(ranked)[:neighbors]:
            votes[int(labels[position])] += math.exp(-negative / temperature)
        predicted.append(votes.index(max(votes)))
    return predicted


@pytest.mark.parametrize(("neighbors", "temperature"), [(1, 0.1), (5, 0.1), (20, 0.07), (20, 5.0), (500, 0.5)])
def test_knn_agrees_with_loops(bank, queries, neighbors: int, temperature: float) -> None:
    found = knn_predict(*bank, queries[0], neighbors, temperature, CLASSES)
    assert found.dtype == torch.int64
    assert found.tolist() == _slow_knn(*bank, queries[0], neighbors, temperature)


def test_knn_finds_every_query_that_is_in_the_bank(bank) -> None:
    features, labels = bank
    assert torch.equal(knn_predict(features, labels, features, 1, 0.1, CLASSES), labels)


def test_knn_of_all_at_infinite_temperature_is_the_majority_class(queries) -> None:
    features, _ = _clusters(30, seed=3)
    labels = torch.tensor([0] * 9 + [1] * 7 + [2] * 10 + [3] * 4)
    assert torch.equal(knn_predict(features, labels, queries[0], 30, 1e12, CLASSES), torch.full((60,), 2))


def test_knn_at_low_temperature_is_the_nearest_neighbor(bank, queries) -> None:
    nearest = knn_predict(*bank, queries[0], 1, 0.1, CLASSES)
    assert torch.equal(knn_predict(*bank, queries[0], 50, 1e-7, CLASSES), nearest)


def test_knn_ignores_the_length_of_features(bank, queries) -> None:
    expected = knn_predict(*bank, queries[0], 10, 0.1, CLASSES)
    scale = torch.rand(90, 1, generator=torch.Generator().manual_seed(0)) * 10 + 0.1
    assert torch.equal(knn_predict(bank[0] * scale, bank[1], queries[0] * 1000, 10, 0.1, CLASSES), expected)


def test_knn_ignores_an_orthogonal_map(bank, queries) -> None:
    expected = knn_predict(*bank, queries[0], 10, 0.1, CLASSES)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0]
    assert torch.equal(knn_predict(bank[0] @ rotation, bank[1], queries[0] @ rotation, 10, 0.1, CLASSES), expected)


def test_knn_ignores_the_order_of_the_bank(bank, queries) -> None:
    expected = knn_predict(*bank, queries[0], 10, 0.1, CLASSES)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    assert torch.equal(knn_predict(bank[0][order], bank[1][order], queries[0], 10, 0.1, CLASSES), expected)


@pytest.mark.parametrize("chunk_elements", [1, 90 * 7, 10**9])
def test_knn_ignores_the_size_of_chunks(bank, queries, chunk_elements: int) -> None:
    expected = knn_predict(*bank, queries[0], 10, 0.1, CLASSES)
    assert torch.equal(knn_predict(*bank, queries[0], 10, 0.1, CLASSES, chunk_elements), expected)


def test_knn_leaves_out_the_last_of_equally_near_neighbors() -> None:
    bank = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 5)
    labels = torch.tensor([2, 2, 1, 0, 0, 3, 3, 3])
    query = torch.tensor([[0.0, 1.0]])
    assert knn_predict(bank, labels, query, 2, 0.1, CLASSES).item() == 0  # positions 3 and 4 are taken, 5 to 7 are not
    assert knn_predict(bank, labels.flip(0), query, 2, 0.1, CLASSES).item() == 0
    assert knn_predict(bank, labels, query, 5, 0.1, CLASSES).item() == 3


def test_knn_gives_equal_votes_to_the_lowest_class() -> None:
    bank = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, -0.2]])
    query = torch.tensor([[1.0, 0.0]])
    assert knn_predict(bank, torch.tensor([3, 1, 1, 3]), query, 4, 0.1, CLASSES).item() == 1
    assert knn_predict(bank, torch.tensor([2, 3, 3, 2]), query, 4, 0.1, CLASSES).item() == 2


def test_knn_survives_a_feature_vector_of_zeros(bank) -> None:
    queries = torch.zeros(1, 6)
    majority = torch.bincount(bank[1]).argmax()
    assert knn_predict(*bank, queries, 90, 0.1, CLASSES).item() == majority


@pytest.mark.parametrize("l2", [1e-4, 1e-2, 1.0])
def test_linear_agrees_with_scikit_learn(bank, queries, l2: float) -> None:
    scaler = StandardScaler().fit(bank[0].double().numpy())
    oracle = LogisticRegression(C=1 / (2 * l2 * 90), tol=1e-10, max_iter=10_000)
    oracle.fit(scaler.transform(bank[0].double().numpy()), bank[1].numpy())
    many = torch.cat([queries[0], *(_clusters(1000, seed=seed)[0] for seed in (5, 6))])
    expected = oracle.predict(scaler.transform(many.double().numpy()))
    found = linear_predict(*bank, many, l2, 500, CLASSES)
    assert found.dtype == torch.int64
    assert np.array_equal(found.numpy(), expected)


def test_linear_ignores_scale_and_shift_of_each_feature(bank, queries) -> None:
    expected = linear_predict(*bank, queries[0], 1e-3, 200, CLASSES)
    scale, shift = torch.tensor([1e-3, 0.1, 1.0, 10.0, 100.0, 1e4]), torch.tensor([5.0, -3.0, 0.0, 1.0, 50.0, 7.0])
    found = linear_predict(bank[0] * scale + shift, bank[1], queries[0] * scale + shift, 1e-3, 200, CLASSES)
    assert torch.equal(found, expected)


def test_linear_ignores_features_that_are_constant_in_training(bank, queries) -> None:
    expected = linear_predict(*bank, queries[0], 1e-3, 200, CLASSES)
    constant = torch.tensor([0.0, 0.1, 1e6])
    wide = torch.cat([bank[0], constant.expand(90, 3)], dim=1)
    moved = torch.cat([queries[0], constant.expand(60, 3) + torch.tensor([0.5, -0.5, 0.5])], dim=1)
    assert torch.equal(linear_predict(wide, bank[1], moved, 1e-3, 200, CLASSES), expected)


def test_linear_ignores_the_order_of_training_images(bank, queries) -> None:
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    expected = linear_predict(*bank, queries[0], 1e-3, 200, CLASSES)
    assert torch.equal(linear_predict(bank[0][order], bank[1][order], queries[0], 1e-3, 200, CLASSES), expected)


def test_linear_separates_what_is_separable_without_penalty() -> None:
    features, labels = _clusters(200, seed=0, size=30, noise=0.1)
    assert torch.equal(linear_predict(features, labels, features, 0.0, 100, CLASSES), labels)


def test_linear_under_a_huge_penalty_predicts_the_majority(bank, queries) -> None:
    features, _ = bank
    labels = torch.tensor([1] * 40 + [0] * 30 + [2] * 20)
    assert torch.equal(linear_predict(features, labels, queries[0], 1e6, 200, CLASSES), torch.ones(60).long())


def test_linear_takes_features_of_a_network_and_sends_no_gradient_back(bank, queries) -> None:
    features = bank[0].clone().requires_grad_()
    linear_predict(features, bank[1], queries[0], 1e-3, 20, CLASSES)
    assert features.grad is None


def test_probe_scores_are_the_shares_of_right_predictions(bank, queries) -> None:
    params = Evaluate(
        batch_size=8,
        knn_neighbors=10,
        knn_temperature=0.1,
        linear_l2=1e-3,
        linear_iterations=200,
        calibration_bins=15,
    )
    found = probe_scores(*bank, *queries, params, CLASSES)
    assert list(found) == ["knn_accuracy", "linear_accuracy"]
    slow = _slow_knn(*bank, queries[0], 10, 0.1)
    assert found["knn_accuracy"] == sum(p == y for p, y in zip(slow, queries[1].tolist(), strict=True)) / 60
    linear = linear_predict(*bank, queries[0], 1e-3, 200, CLASSES).tolist()
    assert found["linear_accuracy"] == sum(p == y for p, y in zip(linear, queries[1].tolist(), strict=True)) / 60
    assert 0.3 < found["knn_accuracy"] < 1.0
