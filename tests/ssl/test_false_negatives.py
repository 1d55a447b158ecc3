"""Elimination of false negatives: what the mask holds, and what it does to NT-Xent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params import SimCLRParams
from fkt.ssl.base import SSLOutput
from fkt.ssl.contrastive import (
    false_negatives,
    false_negatives_in_batch,
    nt_xent_without_false_negatives,
    sup_con,
)
from fkt.ssl.losses import nt_xent
from fkt.ssl.simclr import SimCLR
from fkt.views.loader import Views
from tests import references_negative_free as references
from tests.ssl.negative_free import LABELS, check_steps_under_autocast, pair, setting

UNKNOWN = torch.full((8,), -1)
PARAMS = SimCLRParams(projector_hidden=16, projector_size=8, temperature=0.5)


class Eliminating(SimCLR):
    """SimCLR with the other loss: how a method takes it."""

    def forward(self, views: Views) -> SSLOutput:
        features = self.backbone(torch.cat(views.images))
        z_a, z_b = self.projector(features).chunk(2)
        return SSLOutput(nt_xent_without_false_negatives(z_a, z_b, views.labels, self.temperature), features)


def test_the_mask_holds_known_pairs_alone_is_symmetric_and_never_its_own_image() -> None:
    mask = false_negatives_in_batch(LABELS)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    for i, k in ((0, 3), (1, 4)):
        expected[i, k] = expected[k, i] = True
    assert torch.equal(mask, expected) and torch.equal(mask, mask.T) and not mask.diagonal().any()


def test_a_queues_mask_holds_known_pairs_alone() -> None:
    mask = false_negatives(torch.tensor([0, 1, -1]), torch.tensor([1, -1, 0, 1]))
    assert mask.tolist() == [[False, False, True, False], [True, False, False, True], [False] * 4]


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("labels", [[0, 0, 1, -1, -1], [2, 2, 2, 2, 2], [0, 1, 0, 1, 0]])
def test_elimination_is_its_formula(labels: list[int], temperature: float) -> None:
    z_a, z_b = pair(5, 3)
    expected = references.contrastive(z_a.tolist(), z_b.tolist(), labels, temperature, attract=False)
    found = nt_xent_without_false_negatives(z_a, z_b, torch.tensor(labels), temperature).item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("labels", [UNKNOWN, torch.arange(8), torch.tensor([-1, -1, -1, 5, 0, -1, -1, 1])])
def test_unknown_or_different_labels_leave_nt_xent_and_its_gradient(labels: Tensor) -> None:
    ours, theirs = [[z.requires_grad_() for z in pair(8, 4)] for _ in range(2)]
    found = nt_xent_without_false_negatives(ours[0], ours[1], labels, 0.1)
    expected = nt_xent(theirs[0], theirs[1], 0.1)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=0)


def test_one_known_class_leaves_the_positive_alone_and_no_loss() -> None:
    z_a, z_b = (z.requires_grad_() for z in pair(8, 4))
    loss = nt_xent_without_false_negatives(z_a, z_b, torch.zeros(8, dtype=torch.int64), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert z_a.grad is not None and not z_a.grad.any(), "elimination, no attraction"


def test_the_loss_never_rises_as_more_labels_are_known() -> None:
    z_a, z_b = pair(8, 4)
    truth = torch.tensor([0, 1, 0, 1, 2, 0, 1, 0])
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    labels, losses = UNKNOWN.clone(), []
    for image in [None, *order.tolist()]:
        if image is not None:
            labels[image] = truth[image]
        losses.append(nt_xent_without_false_negatives(z_a, z_b, labels, 0.5).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == nt_xent(z_a, z_b, 0.5).item() > losses[-1]


def test_eliminated_images_neither_attract_nor_repel() -> None:
    z_a, z_b = (z[:2].requires_grad_() for z in pair(8, 4))
    nt_xent_without_false_negatives(z_a, z_b, torch.tensor([0, 0]), 0.5).backward()
    assert z_a.grad is not None and not z_a.grad.any()
    z_a.grad = None
    sup_con(z_a, z_b, torch.tensor([0, 0]), 0.5).backward()
    assert z_a.grad.any()  # type: ignore[union-attr]


def test_names_of_classes_order_scale_and_view_swap_do_not_matter() -> None:
    z_a, z_b = pair(8, 4)
    loss = nt_xent_without_false_negatives(z_a, z_b, LABELS, 0.5)
    renamed = torch.tensor([7, 0, 3])[LABELS].where(LABELS >= 0, -1)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    for found in (
        nt_xent_without_false_negatives(z_a, z_b, renamed, 0.5),
        nt_xent_without_false_negatives(z_a[order], z_b[order], LABELS[order], 0.5),
        nt_xent_without_false_negatives(3 * z_a, z_b / 7, LABELS, 0.5),
        nt_xent_without_false_negatives(z_b, z_a, LABELS, 0.5),
    ):
        torch.testing.assert_close(found, loss)


def test_the_gradient_is_the_numerical_one() -> None:
    z_a, z_b = (z.requires_grad_() for z in pair(5, 3))
    labels = LABELS[:5]
    assert torch.autograd.gradcheck(lambda a, b: nt_xent_without_false_negatives(a, b, labels, 0.5), (z_a, z_b))


def test_half_precision_projections_are_compared_in_float32_under_autocast() -> None:
    z_a, z_b = (z.bfloat16() for z in pair(8, 16, dtype=torch.float32))
    expected = nt_xent_without_false_negatives(z_a.float(), z_b.float(), LABELS, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent_without_false_negatives(z_a, z_b, LABELS, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_method_that_takes_it_trains_alone_and_jointly() -> None:
    def make(backbone: ResNet) -> Eliminating:
        return Eliminating(backbone, PARAMS, setting())

    check_steps_under_autocast(make, set())
