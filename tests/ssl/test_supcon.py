"""SupCon against the paper's equation, NT-Xent and its closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params import SimCLRParams
from fkt.params.methods_contrastive import SupConParams
from fkt.ssl.losses.contrastive import nt_xent, sup_con
from fkt.ssl.simclr import SimCLR
from fkt.ssl.supcon import SupCon
from fkt.views.loader import Views
from tests import references_negative_free as references
from tests.ssl.negative_free import (
    LABELS,
    check_features,
    check_resume,
    check_steps_under_autocast,
    fresh,
    pair,
    setting,
    views,
)

PARAMS = SupConParams(projector_hidden=16, projector_size=8, temperature=0.1)
UNKNOWN = torch.full((8,), -1)


def make(backbone: ResNet) -> SupCon:
    return SupCon(backbone, PARAMS, setting())


def inside(z_a: Tensor, z_b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """L_in (SupCon, Eq. 3): the mean over the positives inside the logarithm."""
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)
    labels = labels.repeat(2)
    logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    same = (labels[:, None] == labels).fill_diagonal_(False)
    shares = logits.softmax(dim=1) * same
    return -(shares.sum(dim=1) / same.sum(dim=1)).log().mean()


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("labels", [[0, 0, 1, -1, -1], [2, 2, 2, 2, 2], [0, 1, 2, 3, 4]])
def test_sup_con_is_the_papers_equation(labels: list[int], temperature: float) -> None:
    z_a, z_b = pair(5, 3)
    expected = references.contrastive(z_a.tolist(), z_b.tolist(), labels, temperature, attract=True)
    assert sup_con(z_a, z_b, torch.tensor(labels), temperature).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("labels", [UNKNOWN, torch.arange(8), torch.tensor([-1, -1, -1, 5, 0, -1, -1, 1])])
def test_unknown_or_different_labels_leave_nt_xent_and_its_gradient(labels: Tensor) -> None:
    ours, theirs = [[z.requires_grad_() for z in pair(8, 4)] for _ in range(2)]
    found, expected = sup_con(ours[0], ours[1], labels, 0.1), nt_xent(theirs[0], theirs[1], 0.1)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("labels", [UNKNOWN, LABELS, torch.zeros(8, dtype=torch.int64)])
def test_equal_embeddings_give_log_of_the_candidates_whatever_the_labels(labels: Tensor) -> None:
    z = torch.ones(8, 4, dtype=torch.float64)
    assert sup_con(z, z, labels, 0.1).item() == pytest.approx(math.log(15))


def test_the_loss_is_at_least_the_one_with_the_mean_inside() -> None:
    z_a, z_b = pair(8, 4)
    labels = torch.tensor([0, 1, 2, 0, 1, 0, 0, 2])
    assert sup_con(z_a, z_b, labels, 0.5) > inside(z_a, z_b, labels, 0.5)


def test_names_of_classes_order_scale_and_view_swap_do_not_matter() -> None:
    z_a, z_b = pair(8, 4)
    loss = sup_con(z_a, z_b, LABELS, 0.5)
    renamed = torch.tensor([7, 0, 3])[LABELS].where(LABELS >= 0, -1)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(sup_con(z_a, z_b, renamed, 0.5), loss)
    torch.testing.assert_close(sup_con(z_a[order], z_b[order], LABELS[order], 0.5), loss)
    torch.testing.assert_close(sup_con(3 * z_a, z_b / 7, LABELS, 0.5), loss)
    torch.testing.assert_close(sup_con(z_b, z_a, LABELS, 0.5), loss)


def test_images_of_one_class_attract_and_unlabelled_ones_do_not() -> None:
    z = torch.eye(4, dtype=torch.float64)
    moved = z.clone()
    moved[1] = F.normalize(z[0] + z[1], dim=0)  # images 0 and 1 come closer
    known, unknown = torch.tensor([0, 0, 1, 2]), torch.tensor([0, -1, 1, 2])
    assert sup_con(moved, moved, known, 0.5) < sup_con(z, z, known, 0.5)
    assert sup_con(moved, moved, unknown, 0.5) > sup_con(z, z, unknown, 0.5)


def test_one_image_has_no_loss() -> None:
    z_a, z_b = pair(1, 4)
    assert sup_con(z_a, z_b, torch.tensor([0]), 0.5).item() == 0


def test_the_gradient_is_the_numerical_one() -> None:
    z_a, z_b = (z.requires_grad_() for z in pair(5, 3))
    assert torch.autograd.gradcheck(lambda a, b: sup_con(a, b, LABELS[:5], 0.5), (z_a, z_b))


def test_half_precision_projections_are_compared_in_float32_under_autocast() -> None:
    z_a, z_b = (z.bfloat16() for z in pair(8, 16, dtype=torch.float32))
    expected = sup_con(z_a.float(), z_b.float(), LABELS, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = sup_con(z_a, z_b, LABELS, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        sup_con(torch.zeros(4, 3), torch.zeros(5, 3), LABELS[:4], 0.5)
    with pytest.raises(ValueError, match=r"labels must have the shape \(4,\), not \(8,\)"):
        sup_con(torch.zeros(4, 3), torch.zeros(4, 3), LABELS, 0.5)


def test_without_labels_it_is_simclr() -> None:
    seen = views()
    unlabelled = Views(seen.images, UNKNOWN, seen.ids, seen.key)
    params = SimCLRParams(projector_hidden=16, projector_size=8, temperature=0.1, false_negatives="keep")
    simclr = fresh(lambda backbone: SimCLR(backbone, params, setting()))
    torch.testing.assert_close(fresh(make)(unlabelled).loss, simclr(unlabelled).loss)
    assert fresh(make)(unlabelled).logs["positives"] == 1
    assert fresh(make)(seen).logs["positives"] == 1 + 2 * (2 + 2) / 8  # two pairs of images of one class


def test_it_trains_alone_and_jointly_and_resumes() -> None:
    check_steps_under_autocast(make, {"relative_loss", "positives"})
    check_resume(make)
    check_features(make)
    assert fresh(make)(views(size=1)).logs["relative_loss"] == 0
