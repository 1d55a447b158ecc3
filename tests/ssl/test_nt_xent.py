"""NT-Xent against the paper's algorithm, another library and its closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.contrastive import nt_xent
from tests import references


def pair(num_images: int, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_images, size, generator=generator, dtype=dtype),
        torch.randn(num_images, size, generator=generator, dtype=dtype),
    )


@pytest.mark.parametrize("num_images", [2, 3, 8])
@pytest.mark.parametrize("size", [2, 16])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_nt_xent_is_the_papers_algorithm(num_images: int, size: int, temperature: float) -> None:
    z_a, z_b = pair(num_images, size)
    assert nt_xent(z_a, z_b, temperature).item() == pytest.approx(
        references.nt_xent(z_a.tolist(), z_b.tolist(), temperature), rel=1e-9
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_and_its_gradient_are_those_of_lightly(temperature: float) -> None:
    from lightly.loss import NTXentLoss

    z_a, z_b = pair(16, 8, dtype=torch.float32)
    ours, theirs = [z.clone().requires_grad_() for z in (z_a, z_b)], [z.clone().requires_grad_() for z in (z_a, z_b)]
    loss, expected = nt_xent(ours[0], ours[1], temperature), NTXentLoss(temperature)(theirs[0], theirs[1])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("num_images", [2, 64, 256])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equal_embeddings_give_log_of_the_candidates(num_images: int, temperature: float) -> None:
    z = torch.ones(num_images, 8, dtype=torch.float64)
    assert nt_xent(z, z, temperature).item() == pytest.approx(math.log(2 * num_images - 1))


def test_mutually_orthogonal_embeddings_give_log_of_the_candidates() -> None:
    eye = torch.eye(16, dtype=torch.float64)
    assert nt_xent(eye[:8], eye[8:], 0.5).item() == pytest.approx(math.log(15))


@pytest.mark.parametrize(
    ("num_images", "temperature", "value"),
    [(256, 0.5, 4.2488), (128, 0.5, 3.5660), (64, 0.5, 2.8933), (256, 0.2, 1.4898)],
)
def test_equal_positives_and_orthogonal_negatives_have_a_closed_form(
    num_images: int, temperature: float, value: float
) -> None:
    z = torch.eye(num_images, dtype=torch.float64)
    loss = nt_xent(z, z, temperature).item()
    assert loss == pytest.approx(math.log(1 + (2 * num_images - 2) * math.exp(-1 / temperature)))
    assert loss == pytest.approx(value, abs=5e-5)


def test_the_simplex_is_the_minimum() -> None:
    count, temperature = 16, 0.5
    simplex = torch.eye(count, dtype=torch.float64) - 1 / count
    minimum = math.log(1 + (2 * count - 2) * math.exp(-(1 + 1 / (count - 1)) / temperature))
    assert nt_xent(simplex, simplex, temperature).item() == pytest.approx(minimum)
    z_a, z_b = pair(count, count)
    assert nt_xent(z_a, z_b, temperature).item() > minimum


def test_one_image_has_no_negative_and_no_loss() -> None:
    z_a, z_b = pair(1, 4)
    assert nt_xent(z_a, z_b, 0.5).item() == 0.0


def test_the_scale_of_a_projection_does_not_matter_so_its_gradient_is_orthogonal_to_it() -> None:
    z_a, z_b = pair(8, 4)
    scales = torch.rand(8, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(nt_xent(z_a * scales, z_b, 0.5), nt_xent(z_a, z_b, 0.5))
    z_a.requires_grad_()
    nt_xent(z_a, z_b, 0.5).backward()
    assert z_a.grad is not None
    assert (z_a.grad * z_a).sum(dim=1).abs().max() < 1e-12
    assert z_a.grad.abs().max() > 1e-3


def test_rotation_order_and_view_swap_do_not_matter() -> None:
    z_a, z_b = pair(8, 4)
    loss = nt_xent(z_a, z_b, 0.5)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(nt_xent(z_a @ rotation, z_b @ rotation, 0.5), loss)
    torch.testing.assert_close(nt_xent(z_a[order], z_b[order], 0.5), loss)
    torch.testing.assert_close(nt_xent(z_b, z_a, 0.5), loss)


def test_a_high_temperature_forgets_the_embeddings() -> None:
    z_a, z_b = pair(8, 4)
    assert nt_xent(z_a, z_b, 1e6).item() == pytest.approx(math.log(15), abs=1e-5)


def test_the_gradient_is_the_numerical_one() -> None:
    z_a, z_b = (z.requires_grad_() for z in pair(4, 3))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), (z_a, z_b))


def test_half_precision_projections_are_compared_in_float32_under_autocast() -> None:
    z_a, z_b = pair(32, 16, dtype=torch.float32)
    expected = nt_xent(z_a.bfloat16().float(), z_b.bfloat16().float(), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(z_a.bfloat16(), z_b.bfloat16(), 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_views_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        nt_xent(torch.zeros(4, 3), torch.zeros(5, 3), 0.5)


def test_the_loss_is_a_mean_so_that_lambda_does_not_depend_on_the_batch() -> None:
    z_a, z_b = (F.normalize(z) for z in pair(512, 64))
    small, large = nt_xent(z_a[:128], z_b[:128], 0.5), nt_xent(z_a, z_b, 0.5)
    assert large / small < math.log(1024) / math.log(256) + 0.05
