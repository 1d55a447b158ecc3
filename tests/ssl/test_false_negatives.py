"""Elimination of false negatives: what the mask holds, and what it does to NT-Xent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fkt.models.backbones import ResNet
from fkt.params import SimCLRParams
from fkt.ssl.losses.contrastive import (
    nt_xent,
    nt_xent_without_false_negatives,
    same_class,
    same_class_in_batch,
    sup_con,
)
from fkt.ssl.simclr import SimCLR
from fkt.views.loader import Views
from tests import references_negative_free as references
from tests.ssl.negative_free import LABELS, check_resume, check_steps_under_autocast, fresh, pair, setting, views

UNKNOWN = torch.full((8,), -1)
KEEP = SimCLRParams(projector_hidden=16, projector_size=8, temperature=0.5, false_negatives="keep")
ELIMINATE = KEEP.model_copy(update={"false_negatives": "eliminate"})


def keeping(backbone: ResNet) -> SimCLR:
    return SimCLR(backbone, KEEP, setting())


def eliminating(backbone: ResNet) -> SimCLR:
    return SimCLR(backbone, ELIMINATE, setting())


def test_the_mask_holds_known_pairs_alone_is_symmetric_and_never_its_own_image() -> None:
    mask = same_class_in_batch(LABELS)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    for i, k in ((0, 3), (1, 4)):
        expected[i, k] = expected[k, i] = True
    assert torch.equal(mask, expected) and torch.equal(mask, mask.T) and not mask.diagonal().any()


def test_a_queues_mask_holds_known_pairs_alone() -> None:
    mask = same_class(torch.tensor([0, 1, -1]), torch.tensor([1, -1, 0, 1]))
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


def projections(method: SimCLR, seen: Views) -> tuple[Tensor, Tensor]:
    z_a, z_b = method.projector(method.backbone(torch.cat(seen.images))).chunk(2)
    return z_a, z_b


def test_simclr_that_keeps_them_is_nt_xent_bit_for_bit_whatever_labels_it_is_shown() -> None:
    seen = views()
    output = fresh(keeping)(seen)
    expected = nt_xent(*projections(fresh(keeping), seen), 0.5)  # type: ignore[arg-type]
    assert torch.equal(output.loss, expected) and output.logs == {}
    assert torch.equal(fresh(keeping)(replace(seen, labels=UNKNOWN)).loss, expected)


def test_simclr_that_eliminates_them_leaves_out_the_images_of_the_labels_it_is_shown_and_logs_how_many() -> None:
    seen, method = views(), fresh(eliminating)
    z_a, z_b = projections(fresh(eliminating), seen)  # type: ignore[arg-type]
    output = method(seen)
    expected = references.contrastive(z_a.tolist(), z_b.tolist(), LABELS.tolist(), 0.5, attract=False)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    assert output.logs["eliminated"].item() == pytest.approx(4 / (8 * 7))  # 0 with 3 and 1 with 4, both ways
    unknown = fresh(eliminating)(replace(seen, labels=UNKNOWN))
    assert torch.equal(unknown.loss, fresh(keeping)(seen).loss) and unknown.logs["eliminated"] == 0


def test_simclr_that_eliminates_them_trains_alone_and_jointly_and_resumes() -> None:
    check_steps_under_autocast(eliminating, {"eliminated"})
    check_resume(eliminating)
