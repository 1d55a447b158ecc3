"""The memory bank and its losses against slow versions."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from fkt.ssl.memory_bank import MemoryBank, bank_info_nce, draw_negatives, nce
from tests import references_pretext as references
from tests.references import cosine


@pytest.mark.parametrize("name", ["nce", "info_nce"])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("num_negatives", [1, 6])
def test_the_losses_are_those_of_the_reference(
    name: Literal["nce", "info_nce"], temperature: float, num_negatives: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    rows = torch.randn(5, 1 + num_negatives, 16, generator=generator, dtype=torch.float64)
    similarities = F.cosine_similarity(embeddings[:, None], rows, dim=2)
    ours = {"nce": nce, "info_nce": bank_info_nce}[name](similarities[:, 0], similarities[:, 1:], temperature)
    slow = {"nce": references.nce, "info_nce": references.info_nce}[name]
    expected = [slow(one.tolist(), some.tolist(), temperature) for one, some in zip(embeddings, rows, strict=True)]
    assert ours.item() == pytest.approx(sum(expected) / 5, rel=1e-9)


@pytest.mark.parametrize("num_negatives", [1, 5, 1000])
def test_equal_similarities_have_closed_forms(num_negatives: int) -> None:
    own, others = torch.full((3,), 0.2), torch.full((3, num_negatives), 0.2)
    chance = math.log(1 + num_negatives)
    assert bank_info_nce(own, others, 0.07).item() == pytest.approx(chance, rel=1e-5)
    assert nce(own, others, 0.07).item() == pytest.approx(
        chance + num_negatives * math.log(1 + 1 / num_negatives), rel=1e-4
    )


def test_the_gradient_of_the_losses_is_the_numerical_one() -> None:
    generator = torch.Generator().manual_seed(0)
    own, others = (torch.rand(*shape, generator=generator, dtype=torch.float64) for shape in ((4,), (4, 3)))
    for loss in (nce, bank_info_nce):
        assert torch.autograd.gradcheck(
            lambda a, b, loss=loss: loss(a, b, 0.2), (own.requires_grad_(), others.requires_grad_())
        )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("temperature", [0.001, 0.07])
def test_extreme_similarities_leave_nce_and_its_gradient_finite(sign: int, temperature: float) -> None:
    own, others = torch.full((2,), float(sign)), torch.full((2, 3), -0.9)
    others[:, 1] = -float(sign)
    own.requires_grad_()
    others.requires_grad_()
    loss = nce(own, others, temperature)
    loss.backward()
    assert loss.isfinite() and own.grad is not None and own.grad.isfinite().all()
    assert others.grad is not None and others.grad.isfinite().all()
    distance = 2 / temperature if sign < 0 else 0.0
    assert loss.item() == pytest.approx(2 * distance, rel=0.05, abs=1e-6), "the positive's share, the negative's rest"


def test_a_loss_in_half_precision_is_computed_in_float32() -> None:
    own, others = torch.rand(4).bfloat16(), torch.rand(4, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = nce(own, others, 0.07)
    torch.testing.assert_close(loss, nce(own.float(), others.float(), 0.07))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_row_follows_its_images_embeddings_and_keeps_unit_norm(momentum: float) -> None:
    torch.manual_seed(0)
    bank = MemoryBank(6, 3, momentum)
    before, embeddings, ids = bank.rows.clone(), torch.randn(2, 3) * 5, torch.tensor([4, 1])
    torch.testing.assert_close(before.norm(dim=1), torch.ones(6))
    bank.update(ids, embeddings)
    for row, embedding in zip(ids.tolist(), embeddings, strict=True):
        expected = references.bank_row(before[row].tolist(), embedding.tolist(), momentum)
        assert bank.rows[row].tolist() == pytest.approx(expected, abs=1e-6)
    others = torch.tensor([0, 2, 3, 5])
    assert torch.equal(bank.rows[others], before[others])
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(6))
    if momentum == 0:
        torch.testing.assert_close(bank.rows[ids], F.normalize(embeddings, dim=1))


def test_negatives_are_uniform_over_all_other_images() -> None:
    ids = torch.tensor([0, 3, 4])
    drawn = draw_negatives(ids, 3000, 5, torch.Generator().manual_seed(0))
    for row, negatives in zip(ids.tolist(), drawn, strict=True):
        counts = torch.bincount(negatives, minlength=5).tolist()
        assert counts.pop(row) == 0 and stats.chisquare(counts).pvalue > 0.01
    assert draw_negatives(torch.tensor([0, 1]), 4, 2, torch.Generator()).tolist() == [[1] * 4, [0] * 4]


def test_similarities_are_cosines_with_the_rows_asked_for_and_reach_the_embeddings_alone() -> None:
    torch.manual_seed(0)
    bank, embeddings = MemoryBank(6, 3, 0.5), (torch.randn(2, 3) * 5).requires_grad_()
    ids = torch.tensor([[4, 4, 0], [1, 5, 2]])
    found = bank.similarities(embeddings, ids)
    for i, row in enumerate(ids.tolist()):
        expected = [cosine(embeddings[i].tolist(), bank.rows[j].tolist()) for j in row]
        assert found[i].tolist() == pytest.approx(expected, abs=1e-6)
    found.sum().backward()
    assert embeddings.grad is not None and embeddings.grad.any() and bank.rows.grad is None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bank.similarities(embeddings, ids), found)
