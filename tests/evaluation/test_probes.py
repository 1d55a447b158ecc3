"""Probes against loops and scikit-learn, and changes of the features that must not change the predictions."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from fkt.evaluation.probes import effective_neighbors, knn_predict, linear_fits, probe
from fkt.params import Evaluate

CLASSES = 4
EVALUATE = Evaluate(
    batch_size=8, knn_neighbors=10, knn_temperature=0.1, linear_l2=[1e-3], linear_iterations=200, calibration_bins=15
)
Features = tuple[Tensor, Tensor]


def overlapping(num_images: int, seed: int) -> Features:
    """Features (N, 6) and labels of classes that overlap, so that the probes make mistakes."""
    centers = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (num_images,), generator=generator)
    return centers[labels] + torch.randn(num_images, 6, generator=generator), labels


@pytest.fixture
def bank() -> Features:
    return overlapping(90, seed=0)


@pytest.fixture
def queries() -> Features:
    return overlapping(60, seed=1)


def linear_predict(bank: Tensor, labels: Tensor, queries: Tensor, l2: float) -> Tensor:
    return linear_fits(bank, labels, [l2], 500, CLASSES)[l2](queries)


def sklearn_predict(bank: Tensor, labels: Tensor, queries: Tensor, l2: float) -> list[int]:
    scaler = StandardScaler().fit(bank.double().numpy())
    oracle = LogisticRegression(C=1 / (2 * l2 * len(bank)), tol=1e-10, max_iter=10_000)
    oracle.fit(scaler.transform(bank.double().numpy()), labels.numpy())
    predicted: list[int] = oracle.predict(scaler.transform(queries.double().numpy())).tolist()
    return predicted


def slow_knn(bank: Tensor, labels: Tensor, queries: Tensor, neighbors: int, temperature: float) -> list[int]:
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
def test_knn_agrees_with_loops(bank: Features, queries: Features, neighbors: int, temperature: float) -> None:
    found = knn_predict(*bank, queries[0], neighbors, temperature, CLASSES)
    assert found.dtype == torch.int64
    assert found.tolist() == slow_knn(*bank, queries[0], neighbors, temperature)


def test_knn_at_a_very_low_temperature_uses_the_nearest_neighbor(bank: Features, queries: Features) -> None:
    """exp(cosine / temperature) alone would overflow."""
    nearest = knn_predict(*bank, queries[0], 1, 0.1, CLASSES)
    assert torch.equal(knn_predict(*bank, queries[0], 50, 1e-7, CLASSES), nearest)


def test_a_feature_that_is_constant_in_training_changes_no_linear_prediction(bank: Features, queries: Features) -> None:
    constant = torch.tensor([0.0, 0.1, 1e6])
    wide = torch.cat([bank[0], constant.expand(90, 3)], 1)
    moved = torch.cat([queries[0], (constant + torch.tensor([0.5, -0.5, 0.5])).expand(60, 3)], 1)
    expected = linear_predict(*bank, queries[0], 1e-3)
    assert torch.equal(linear_predict(wide, bank[1], moved, 1e-3), expected)


@pytest.mark.parametrize("elements", [1, 90 * 7])
def test_the_size_of_chunks_changes_no_prediction(
    bank: Features, queries: Features, monkeypatch: pytest.MonkeyPatch, elements: int
) -> None:
    expected = knn_predict(*bank, queries[0], 10, 0.1, CLASSES)
    monkeypatch.setattr("fkt.evaluation.probes.CHUNK_ELEMENTS", elements)
    assert torch.equal(knn_predict(*bank, queries[0], 10, 0.1, CLASSES), expected)


def test_of_equally_near_neighbors_the_first_in_the_bank_vote() -> None:
    bank = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 5)
    labels = torch.tensor([2, 2, 1, 0, 0, 3, 3, 3])
    query = torch.tensor([[0.0, 1.0]])
    assert knn_predict(bank, labels, query, 2, 0.1, CLASSES).item() == 0  # positions 3 and 4 vote, 5 to 7 do not
    assert knn_predict(bank, labels.flip(0), query, 2, 0.1, CLASSES).item() == 0
    assert knn_predict(bank, labels, query, 5, 0.1, CLASSES).item() == 3


def test_of_classes_with_equal_votes_the_lowest_wins() -> None:
    bank = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, -0.2]])
    query = torch.tensor([[1.0, 0.0]])
    assert knn_predict(bank, torch.tensor([3, 1, 1, 3]), query, 4, 0.1, CLASSES).item() == 1
    assert knn_predict(bank, torch.tensor([2, 3, 3, 2]), query, 4, 0.1, CLASSES).item() == 2


def test_every_fit_agrees_with_scikit_learn(bank: Features, queries: Features) -> None:
    """Also those that start from the fit before."""
    many = torch.cat([queries[0], *(overlapping(1000, seed=seed)[0] for seed in (5, 6))])
    fits = linear_fits(*bank, [1e-4, 1.0, 1e-2], 500, CLASSES)
    assert list(fits) == [1.0, 1e-2, 1e-4]
    for l2, fit in fits.items():
        assert fit(many).dtype == torch.int64
        assert fit(many).tolist() == sklearn_predict(*bank, many, l2), l2


def test_the_l2_with_the_best_validation_accuracy_is_used_and_scored_without_another_fit(queries: Features) -> None:
    """20 images with 60 features: a weak penalty fits their noise."""
    noise = torch.randn(200, 54, generator=torch.Generator().manual_seed(3))
    bank, validation = ((torch.cat([x, noise[: len(x)]], 1), y) for x, y in (overlapping(20, 1), overlapping(120, 2)))
    many = torch.cat([queries[0], noise[140:]], 1)
    candidates = [1e-5, 1e-3, 1e-1, 1.0, 1e3]
    right = {
        l2: sum(p == y for p, y in zip(sklearn_predict(*bank, validation[0], l2), validation[1].tolist(), strict=True))
        for l2 in candidates
    }
    best = max(l2 for l2 in candidates if right[l2] == max(right.values()))
    assert min(candidates) < best < max(candidates)
    found = probe(bank, many, validation, EVALUATE.model_copy(update={"linear_l2": candidates}), CLASSES)
    assert found.settings["linear_l2"] == best
    assert found.linear.tolist() == sklearn_predict(*bank, many, best)


def test_of_equally_good_candidates_the_largest_l2_is_used(bank: Features, queries: Features) -> None:
    settings = EVALUATE.model_copy(update={"linear_l2": [1e-7, 1.1e-7, 1e-6]})
    validation = queries[0][:3], queries[1][:3]
    assert probe(bank, queries[0], validation, settings, CLASSES).settings["linear_l2"] == 1e-6


@pytest.mark.parametrize(
    ("counts", "wanted", "expected"), [([9, 4, 30], 200, 2), ([50, 60, 70], 20, 20), ([1, 9], 5, 1)]
)
def test_the_neighbors_are_at_most_half_of_the_smallest_class(counts: list[int], wanted: int, expected: int) -> None:
    labels = torch.cat([torch.full((count,), number) for number, count in enumerate(counts)])
    assert effective_neighbors(labels, wanted) == expected


def test_probe_scores_are_the_accuracies_of_the_predictions_and_the_settings(bank: Features, queries: Features) -> None:
    neighbors = int(torch.bincount(bank[1]).min()) // 2
    predicted = {
        "knn": slow_knn(*bank, queries[0], neighbors, 0.1),
        "linear": sklearn_predict(*bank, queries[0], 1e-3),
    }
    found = probe(bank, queries[0], None, EVALUATE.model_copy(update={"knn_neighbors": 80}), CLASSES)
    assert {"knn": found.knn.tolist(), "linear": found.linear.tolist()} == predicted
    assert found.scores(queries[1]) == {"knn_neighbors": neighbors, "linear_l2": 1e-3} | {
        f"{name}_accuracy": sum(p == y for p, y in zip(classes, queries[1].tolist(), strict=True)) / 60
        for name, classes in predicted.items()
    }
