"""VICReg against another library and its closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import VICRegParams
from fkt.ssl.losses.redundancy import VICRegTerms, vicreg
from fkt.ssl.vicreg import VICReg
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

PARAMS = VICRegParams(
    projector_hidden=16, projector_size=8, invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0
)


def make(backbone: ResNet) -> VICReg:
    return VICReg(backbone, PARAMS, setting())


def weighted(terms: VICRegTerms) -> Tensor:
    return 25 * terms.invariance + 25 * terms.variance + terms.covariance


def values(terms: VICRegTerms) -> list[float]:
    return [term.item() for term in terms]


def test_vicreg_and_its_gradient_are_those_of_lightly() -> None:
    from lightly.loss import VICRegLoss

    for scale in (0.3, 3.0):  # with and without the hinge of the variance
        ours = [(scale * z).float().requires_grad_() for z in pair(16, 8)]
        theirs = [z.detach().clone().requires_grad_() for z in ours]
        found, expected = weighted(vicreg(ours[0], ours[1])), VICRegLoss()(theirs[0], theirs[1])
        torch.testing.assert_close(found, expected)
        found.backward()
        expected.backward()
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, other.grad)


def test_each_term_is_its_equation() -> None:
    z_a, z_b = (0.5 * z for z in pair(5, 3))
    invariance, variance, covariance = 0.0, 0.0, 0.0
    for i in range(5):
        invariance += sum((z_a[i, d] - z_b[i, d]).item() ** 2 for d in range(3)) / 15
    for z in (z_a, z_b):
        means = [sum(z[i, d].item() for i in range(5)) / 5 for d in range(3)]
        for d in range(3):
            for e in range(3):
                products = [(z[i, d].item() - means[d]) * (z[i, e].item() - means[e]) for i in range(5)]
                cov = sum(products) / 4
                if d == e:
                    variance += max(0.0, 1 - (cov + 1e-4) ** 0.5) / 3 / 2
                else:
                    covariance += cov**2 / 3
    assert values(vicreg(z_a, z_b)) == pytest.approx([invariance, variance, covariance], rel=1e-9)


def test_equal_views_of_uncorrelated_dimensions_cost_nothing() -> None:
    z = hadamard(16)[:, 1:9]
    assert values(vicreg(z, z)) == pytest.approx([0, 0, 0], abs=1e-12)


def test_collapse_costs_its_variance_alone_and_has_a_finite_gradient() -> None:
    z = torch.full((6, 4), 3.0, dtype=torch.float64, requires_grad=True)
    terms = vicreg(z, z)
    assert values(terms) == pytest.approx([0, 0.99, 0], abs=1e-12)
    weighted(terms).backward()
    assert z.grad is not None and z.grad.isfinite().all()


def test_equal_dimensions_cost_their_covariance() -> None:
    z = hadamard(16)[:, 1:2].expand(16, 8)
    terms = vicreg(z, z)
    assert terms.covariance.item() == pytest.approx(2 * 7 * (16 / 15) ** 2)
    assert terms.covariance.item() == pytest.approx(15.929, abs=5e-4)


def test_variance_is_averaged_over_the_views_and_covariance_summed() -> None:
    z_a, z_b = pair(8, 4)
    both, first, second = (vicreg(*views) for views in ((z_a, z_b), (z_a, z_a), (z_b, z_b)))
    torch.testing.assert_close(both.variance, (first.variance + second.variance) / 2)
    torch.testing.assert_close(both.covariance, (first.covariance + second.covariance) / 2)


def test_translation_order_and_view_swap_do_not_matter_nor_rotation_to_the_invariance() -> None:
    z_a, z_b = pair(8, 4)
    expected = values(vicreg(z_a, z_b))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    shift = torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for moved in (vicreg(z_a + shift, z_b + shift), vicreg(z_a[order], z_b[order]), vicreg(z_b, z_a)):
        assert values(moved) == pytest.approx(expected, rel=1e-9)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    rotated = vicreg(z_a @ rotation, z_b @ rotation)
    torch.testing.assert_close(rotated.invariance, vicreg(z_a, z_b).invariance)


def test_the_gradient_is_the_numerical_one() -> None:
    z_a, z_b = ((0.3 * z).requires_grad_() for z in pair(5, 3))
    assert torch.autograd.gradcheck(lambda a, b: weighted(vicreg(a, b)), (z_a, z_b))


def test_half_precision_projections_are_compared_in_float32_under_autocast() -> None:
    z_a, z_b = (z.bfloat16() for z in pair(32, 16, dtype=torch.float32))
    expected = vicreg(z_a.float(), z_b.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = vicreg(z_a, z_b)
    for mine, other in zip(found, expected, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other)


def test_one_image_has_no_variance() -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        vicreg(torch.zeros(1, 3), torch.zeros(1, 3))


def test_the_methods_loss_is_the_weighted_loss_of_its_projections() -> None:
    method = fresh(make)
    seen = views()
    z_a, z_b = fresh(make).projector(fresh(make).backbone(torch.cat(seen.images))).chunk(2)  # type: ignore[operator]
    output = method(seen)
    torch.testing.assert_close(output.loss, weighted(vicreg(z_a, z_b)))
    assert set(output.logs) == {"invariance", "variance", "covariance"}


def test_it_trains_alone_and_jointly_and_resumes() -> None:
    check_steps_under_autocast(make, {"invariance", "variance", "covariance"})
    check_resume(make)
    check_features(make)
