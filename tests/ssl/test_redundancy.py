"""Closed forms of Barlow Twins and VICReg, and the methods that use them."""

import pytest
import torch
from torch import Tensor

from fkt.ssl.barlow_twins import _health
from fkt.ssl.losses.redundancy import barlow_twins, cross_correlation, vicreg
from tests.ssl.harness import build, random_pair, views


def hadamard(count: int) -> Tensor:
    """(count, count) of +-1 with orthogonal columns, count a power of 2; all columns but the first have mean 0."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < count:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


UNCORRELATED = hadamard(16)[:, 1:9]
EQUAL = hadamard(16)[:, 1:2].expand(16, 8)
CONSTANT = torch.full((16, 8), 3.0, dtype=torch.float64)


@pytest.mark.parametrize(
    ("z_a", "z_b", "value"),
    [
        (UNCORRELATED, UNCORRELATED, 8e-10),  # D * eps^2
        (UNCORRELATED, -UNCORRELATED, 4 * 8),
        (hadamard(32)[:, 1:9], hadamard(32)[:, 9:17], 8),
        (EQUAL, EQUAL, 0.01 * 8 * 7),
        (CONSTANT, CONSTANT, 8),
    ],
)
def test_barlow_twins_has_closed_forms(z_a: Tensor, z_b: Tensor, value: float) -> None:
    assert barlow_twins(cross_correlation(z_a, z_b), 0.01).item() == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize(
    ("z", "terms"),
    [(UNCORRELATED, [0, 0, 0]), (CONSTANT, [0, 0.99, 0]), (EQUAL, [0, 0, 2 * 7 * (16 / 15) ** 2])],
)
def test_vicreg_has_closed_forms(z: Tensor, terms: list[float]) -> None:
    assert [term.item() for term in vicreg(z, z)] == pytest.approx(terms, abs=1e-12)


def test_constant_projections_have_finite_gradients() -> None:
    z = CONSTANT.clone().requires_grad_()
    (barlow_twins(cross_correlation(z, z), 0.01) + sum(vicreg(z, z))).backward()
    assert z.grad is not None and z.grad.isfinite().all()


def test_vicreg_averages_the_variance_over_the_views_and_sums_the_covariance() -> None:
    z_a, z_b = random_pair()
    (_, *both), (_, *first), (_, *second) = (vicreg(*pair) for pair in ((z_a, z_b), (z_a, z_a), (z_b, z_b)))
    for term, one, other in zip(both, first, second, strict=True):
        torch.testing.assert_close(term, (one + other) / 2)


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_the_loss_of_a_method_is_the_weighted_loss_of_its_projections(name: str) -> None:
    copied, made = build(name), views(2)
    z_a, z_b = copied.projector(copied.backbone(torch.cat(made.images))).chunk(2)
    invariance, variance, covariance = vicreg(z_a, z_b)
    output = build(name)(made)
    if name == "barlow_twins":
        expected = 0.1 * barlow_twins(cross_correlation(z_a, z_b), 0.005)
    else:
        expected = 25 * invariance + 25 * variance + covariance
        terms = {"invariance": invariance, "variance": variance, "covariance": covariance}
        assert output.logs == {key: pytest.approx(value.item()) for key, value in terms.items()}
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (UNCORRELATED, (1, 0)),
        (EQUAL, (1, 1)),
        (hadamard(16)[:, [1, 1, 1, 1, 2, 2, 2, 2]], (1, (3 / 7) ** 0.5)),
        (CONSTANT, (0, 0)),
    ],
)
def test_the_logs_of_barlow_twins_show_agreement_redundancy_and_collapse(
    z: Tensor, expected: tuple[float, float]
) -> None:
    health = _health(cross_correlation(z, z))
    found = health["correlation"].item(), health["cross_correlation"].item()
    assert found == pytest.approx(expected, abs=2e-5)
