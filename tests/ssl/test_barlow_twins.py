"""Barlow Twins against the paper's algorithm, another library and its closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import BarlowTwinsParams
from fkt.ssl.barlow_twins import BarlowTwins, _health
from fkt.ssl.losses.redundancy import STANDARDIZE_EPS, barlow_twins, cross_correlation
from tests import references_negative_free as references
from tests.ssl.negative_free import (
    check_features,
    check_resume,
    check_steps_under_autocast,
    fresh,
    hadamard,
    pair,
    setting,
    views,
)

PARAMS = BarlowTwinsParams(projector_hidden=16, projector_size=8, redundancy_weight=0.005, loss_scale=0.1)


def make(backbone: ResNet) -> BarlowTwins:
    return BarlowTwins(backbone, PARAMS, setting())


def loss(z_a: Tensor, z_b: Tensor, weight: float = 0.005) -> Tensor:
    return barlow_twins(cross_correlation(z_a, z_b), weight)


@pytest.mark.parametrize(("num_images", "size"), [(2, 3), (5, 2), (8, 6)])
def test_barlow_twins_is_the_papers_algorithm(num_images: int, size: int) -> None:
    z_a, z_b = pair(num_images, size)
    expected = references.barlow_twins(z_a.tolist(), z_b.tolist(), 0.01, STANDARDIZE_EPS)
    assert loss(z_a, z_b, 0.01).item() == pytest.approx(expected, rel=1e-9)


def test_barlow_twins_and_its_gradient_are_those_of_lightly() -> None:
    from lightly.loss import BarlowTwinsLoss

    for dtype in (torch.float32, torch.float64):
        ours = [z.clone().requires_grad_() for z in pair(16, 8, dtype=dtype)]
        theirs = [z.clone().requires_grad_() for z in pair(16, 8, dtype=dtype)]
        found, expected = loss(ours[0], ours[1]), BarlowTwinsLoss(lambda_param=0.005)(theirs[0], theirs[1])
        torch.testing.assert_close(found, expected)
        found.backward()
        expected.backward()
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, other.grad)


def test_equal_uncorrelated_dimensions_are_the_minimum() -> None:
    z = hadamard(16)[:, 1:9]
    torch.testing.assert_close(cross_correlation(z, z), torch.eye(8, dtype=torch.float64), rtol=0, atol=2e-5)
    assert loss(z, z).item() == pytest.approx(8e-10, rel=0.01)  # what eps leaves: D * eps^2


def test_a_view_against_its_negative_gives_four_for_each_dimension() -> None:
    z = hadamard(16)[:, 1:9]
    assert loss(z, -z).item() == pytest.approx(32, rel=1e-4)


def test_uncorrelated_views_give_one_for_each_dimension() -> None:
    columns = hadamard(32)
    assert loss(columns[:, 1:9], columns[:, 9:17]).item() == pytest.approx(8, rel=1e-9)


def test_equal_dimensions_cost_their_redundancy_alone() -> None:
    z = hadamard(16)[:, 1:2].expand(16, 8)
    assert loss(z, z, 0.01).item() == pytest.approx(0.01 * 8 * 7, rel=1e-4)


def test_constant_projections_give_one_for_each_dimension_and_no_nan() -> None:
    z_a, z_b = (torch.ones(4, 8, requires_grad=True) for _ in range(2))
    found = loss(z_a, z_b)
    found.backward()
    assert found.item() == 8
    assert z_a.grad is not None and z_a.grad.isfinite().all()


def test_scale_shift_order_and_view_swap_do_not_matter() -> None:
    z_a, z_b = (100 * z for z in pair(8, 4))  # so large that eps does not show
    expected = loss(z_a, z_b)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(1)
    scale, shift = torch.rand(2, 4, generator=generator, dtype=torch.float64) + 0.5
    torch.testing.assert_close(loss(z_a * scale + shift, z_b), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(loss(z_a, z_b * scale + shift), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(loss(z_a[order], z_b[order]), expected)
    torch.testing.assert_close(loss(z_b, z_a), expected)


def test_the_gradient_is_the_numerical_one() -> None:
    z_a, z_b = (z.requires_grad_() for z in pair(5, 3))
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b), (z_a, z_b))


def test_half_precision_projections_are_correlated_in_float32_under_autocast() -> None:
    z_a, z_b = (z.bfloat16() for z in pair(32, 16, dtype=torch.float32))
    expected = cross_correlation(z_a.float(), z_b.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_correlation(z_a, z_b)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_one_image_has_no_correlation() -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        cross_correlation(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        cross_correlation(torch.zeros(4, 3), torch.zeros(5, 3))


def test_the_methods_loss_is_the_scaled_loss_of_its_projections() -> None:
    method = fresh(make)
    seen = views()
    z_a, z_b = fresh(make).projector(fresh(make).backbone(torch.cat(seen.images))).chunk(2)  # type: ignore[operator]
    torch.testing.assert_close(method(seen).loss, 0.1 * loss(z_a, z_b))


def test_the_logs_tell_agreement_from_redundancy_and_collapse() -> None:
    z = hadamard(16)[:, 1:9]
    health = _health(cross_correlation(z, z))
    assert (health["correlation"].item(), health["cross_correlation"].item()) == pytest.approx((1, 0), abs=2e-5)
    health = _health(cross_correlation(z[:, :1].expand(16, 8), z[:, :1].expand(16, 8)))
    assert (health["correlation"].item(), health["cross_correlation"].item()) == pytest.approx((1, 1), abs=2e-5)
    assert _health(cross_correlation(torch.ones(4, 8), torch.ones(4, 8)))["correlation"] == 0


def test_it_trains_alone_and_jointly_and_resumes() -> None:
    check_steps_under_autocast(make, {"correlation", "cross_correlation"})
    check_resume(make)
    check_features(make)
