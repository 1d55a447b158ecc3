"""All losses against slow references, another library, and the invariances that their formulas have."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightly import loss as lightly
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.clustering import prototype_scores, sinkhorn, swapped_prediction
from fkt.ssl.losses.contrastive import (
    bank_info_nce,
    info_nce,
    nce,
    nt_xent,
    queue_logits,
    same_class,
    same_class_in_batch,
    sup_con,
)
from fkt.ssl.losses.redundancy import STANDARDIZE_EPS, barlow_twins, cross_correlation, vicreg
from fkt.ssl.losses.similarity import byol_loss, negative_cosine
from tests import references_losses as references
from tests.ssl.harness import LABELS, random_pair

Loss = Callable[..., Tensor]
QUEUE_LABELS = torch.tensor([0, 0, 1, -1, -1, 2, 2, 2, 3])


def eliminated(z_a: Tensor, z_b: Tensor, labels: Tensor, temperature: float = 0.5) -> Tensor:
    return nt_xent(z_a, z_b, temperature, same_class_in_batch(labels))


def supervised(z_a: Tensor, z_b: Tensor, labels: Tensor, temperature: float = 0.5) -> Tensor:
    return sup_con(z_a, z_b, same_class_in_batch(labels), temperature)


def redundancy(z_a: Tensor, z_b: Tensor, labels: Tensor) -> Tensor:
    return barlow_twins(cross_correlation(z_a, z_b), 0.005)


def weighted_vicreg(z_a: Tensor, z_b: Tensor) -> Tensor:
    invariance, variance, covariance = vicreg(z_a, z_b)
    return 25 * invariance + 25 * variance + covariance


def fixed_codes(scores: Tensor) -> Tensor:
    codes = torch.arange(float(scores.numel())).view_as(scores).sin().softmax(dim=1)
    return codes.to(torch.promote_types(scores.dtype, torch.float32))


PAIR_LOSSES: dict[str, Loss] = {
    "nt_xent": lambda z_a, z_b, labels: nt_xent(z_a, z_b, 0.5),
    "eliminated": eliminated,
    "supervised": supervised,
    "byol": lambda z_a, z_b, labels: byol_loss(z_a, z_b),
    "barlow_twins": redundancy,
    "vicreg": lambda z_a, z_b, labels: weighted_vicreg(z_a, z_b),
}
"""Losses of two views and labels."""
CONTRASTIVE = ("nt_xent", "eliminated", "supervised")
ROW_LOSSES: dict[str, tuple[Loss, int]] = {
    **{name: (lambda a, b, loss=loss: loss(a, b, LABELS[: len(a)]), 2) for name, loss in PAIR_LOSSES.items()},
    "info_nce": (lambda q, k, queue: info_nce(q, k, queue, 0.2), 3),
    "info_nce_eliminated": (
        lambda q, k, queue: info_nce(q, k, queue, 0.2, same_class(LABELS[: len(q)], LABELS[: len(queue)])),
        3,
    ),
    "nce": (lambda similarities: nce(similarities, 0.5), 1),
    "bank_info_nce": (lambda similarities: bank_info_nce(similarities, 0.5), 1),
    "swapped_prediction": (lambda a, b: swapped_prediction(a, b, fixed_codes(a), fixed_codes(b).flip(0), 0.5), 2),
    "prototype_scores": (lambda z, prototypes: prototype_scores(z, prototypes).sin().sum(), 2),
}
"""Losses of tensors (B, D), and their number."""
pair_losses = pytest.mark.parametrize("name", PAIR_LOSSES)
row_losses = pytest.mark.parametrize("name", ROW_LOSSES)


def inputs(count: int, num_images: int, size: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(count, num_images, size, generator=generator, dtype=torch.float64))


@row_losses
def test_the_gradient_is_the_numerical_gradient(name: str) -> None:
    loss, count = ROW_LOSSES[name]
    tensors = [(0.5 * tensor).requires_grad_() for tensor in inputs(count, 5, 3)]
    assert torch.autograd.gradcheck(loss, tensors)


@row_losses
def test_half_precision_inputs_are_compared_in_float32_under_autocast(name: str) -> None:
    loss, count = ROW_LOSSES[name]
    half = [tensor.bfloat16() for tensor in inputs(count, 8, 16)]
    expected = loss(*(tensor.float() for tensor in half))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*half)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


@pair_losses
def test_the_order_of_images_and_views_and_the_names_of_classes_do_not_matter(name: str) -> None:
    loss = PAIR_LOSSES[name]
    z_a, z_b = random_pair()
    expected = loss(z_a, z_b, LABELS)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(loss(z_a[order], z_b[order], LABELS[order]), expected)
    torch.testing.assert_close(loss(z_b, z_a, LABELS), expected)
    renamed = torch.tensor([7, 0, 3])[LABELS].where(LABELS >= 0, -1)
    torch.testing.assert_close(loss(z_a, z_b, renamed), expected)


@pytest.mark.parametrize("name", [*CONTRASTIVE, "byol"])
def test_scale_and_rotation_do_not_matter_to_losses_of_cosines(name: str) -> None:
    loss = PAIR_LOSSES[name]
    z_a, z_b = random_pair()
    expected = loss(z_a, z_b, LABELS)
    scales = torch.rand(8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    torch.testing.assert_close(loss(z_a * scales, z_b / 7, LABELS), expected)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    torch.testing.assert_close(loss(z_a @ rotation, z_b @ rotation, LABELS), expected)


def test_translation_does_not_matter_to_statistics_nor_scale_to_correlations() -> None:
    z_a, z_b = (100 * z for z in random_pair())  # so large that eps has no effect
    generator = torch.Generator().manual_seed(1)
    scale, shift = torch.rand(2, 4, generator=generator, dtype=torch.float64) + 0.5
    expected = cross_correlation(z_a, z_b)
    torch.testing.assert_close(cross_correlation(z_a * scale + shift, z_b), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(cross_correlation(z_a, z_b * scale + shift), expected, rtol=1e-6, atol=1e-6)
    for moved, term in zip(vicreg(z_a + shift, z_b + shift), vicreg(z_a, z_b), strict=True):
        torch.testing.assert_close(moved, term)


@pair_losses
def test_views_of_different_shapes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"same shape \(B, D\), not \(8, 3\) and \(5, 3\)"):
        PAIR_LOSSES[name](torch.zeros(8, 3), torch.zeros(5, 3), LABELS)


def test_a_queue_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        queue_logits(torch.zeros(4, 3), torch.zeros(5, 3), torch.zeros(9, 3), 0.1)
    with pytest.raises(ValueError, match=r"must be \(K, D\), not \(9, 2\)"):
        queue_logits(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(9, 2), 0.1)


@pytest.mark.parametrize("loss", [cross_correlation, vicreg])
def test_one_image_has_no_statistics(loss: Loss) -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        loss(torch.zeros(1, 3), torch.zeros(1, 3))


@pytest.mark.parametrize(("num_images", "size"), [(2, 3), (5, 2), (8, 6)])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_contrastive_losses_are_those_of_the_papers(num_images: int, size: int, temperature: float) -> None:
    z_a, z_b = random_pair(num_images, size)
    pair = z_a.tolist(), z_b.tolist()
    unknown = [-1] * num_images
    expected = references.contrastive(*pair, unknown, temperature, attract=False)
    assert nt_xent(z_a, z_b, temperature).item() == pytest.approx(expected, rel=1e-9)
    for labels in ([0, 0, 1, -1, -1, 1, 2, 0], [2] * 8, [0, 1, 0, 1, 0, -1, -1, -1], list(range(8))):
        known = labels[:num_images]
        for attract, loss in ((False, eliminated), (True, supervised)):
            expected = references.contrastive(*pair, known, temperature, attract=attract)
            found = loss(z_a, z_b, torch.tensor(known), temperature).item()
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_info_nce_is_that_of_the_paper_against_the_remaining_keys(temperature: float) -> None:
    (queries, keys), (queue, _) = random_pair(8, 5), random_pair(9, 5, seed=1)
    lists = keys.tolist(), queue.tolist()
    expected = references.info_nce(queries.tolist(), references.queue_rows(*lists), temperature)
    assert info_nce(queries, keys, queue, temperature).item() == pytest.approx(expected)
    rows = references.queue_rows(*lists, LABELS.tolist(), QUEUE_LABELS.tolist())
    found = info_nce(queries, keys, queue, temperature, same_class(LABELS, QUEUE_LABELS))
    assert found.item() == pytest.approx(references.info_nce(queries.tolist(), rows, temperature))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("num_negatives", [1, 6])
def test_losses_of_the_memory_bank_are_those_of_the_paper(temperature: float, num_negatives: int) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    rows = torch.randn(5, 1 + num_negatives, 16, generator=generator, dtype=torch.float64)
    similarities = F.cosine_similarity(embeddings[:, None], rows, dim=2)
    for loss, slow in ((nce, references.nce), (bank_info_nce, references.info_nce)):
        expected = slow(embeddings.tolist(), rows.tolist(), temperature)
        assert loss(similarities, temperature).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("num_images", "size"), [(2, 3), (5, 2), (8, 6)])
def test_losses_without_negatives_are_those_of_the_papers(num_images: int, size: int) -> None:
    z_a, z_b = random_pair(num_images, size)
    pair = z_a.tolist(), z_b.tolist()
    assert byol_loss(z_a, z_b).item() == pytest.approx(references.squared_distance(*pair))
    expected = references.barlow_twins(*pair, 0.01, STANDARDIZE_EPS)
    assert barlow_twins(cross_correlation(z_a, z_b), 0.01).item() == pytest.approx(expected, rel=1e-9)
    terms = vicreg(0.5 * z_a, 0.5 * z_b)
    half = [(0.5 * z).tolist() for z in (z_a, z_b)]
    assert [term.item() for term in terms] == pytest.approx(references.vicreg(*half), rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize(("num_images", "prototypes"), [(2, 3), (7, 4), (8, 16)])
def test_codes_and_swapped_prediction_are_those_of_the_paper(num_images: int, prototypes: int, epsilon: float) -> None:
    scores = [(z / 2).tanh() for z in random_pair(num_images, prototypes)]
    for iterations in (1, 3, 10):
        codes = sinkhorn(scores[0], epsilon, iterations)
        expected = references.sinkhorn(scores[0].tolist(), epsilon, iterations)
        torch.testing.assert_close(codes, torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(codes, lightly_sinkhorn(scores[0], iterations, epsilon))
    both = [sinkhorn(one, epsilon, 3) for one in scores]
    lists = [tensor.tolist() for tensor in (*scores, *both)]
    found = swapped_prediction(scores[0], scores[1], both[0], both[1], 0.1)
    assert found.item() == pytest.approx(references.swav(*lists, 0.1), rel=1e-9)


def lightly_info_nce(queries: Tensor, keys: Tensor) -> Tensor:
    theirs = lightly.NTXentLoss(0.2, memory_bank_size=(9, 5))
    theirs.memory_bank.bank = F.normalize(random_pair(9, 5, seed=1)[0].to(queries.dtype), dim=1)
    theirs.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.int64)
    result: Tensor = theirs(queries, keys.detach())
    return result


def swapped(queued: int) -> Loss:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        queues = [(z / 2).tanh().to(a.dtype) for z in random_pair(queued, 5, seed=1)]
        with torch.no_grad():
            codes = [sinkhorn(torch.cat(parts), 0.05, 3)[: len(a)] for parts in zip((a, b), queues, strict=True)]
        return swapped_prediction(a, b, codes[0], codes[1], 0.1)

    return loss


def lightly_swapped(queued: int) -> Loss:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        queues = [(z / 2).tanh().to(a.dtype) for z in random_pair(queued, 5, seed=1)]
        result: Tensor = lightly.SwaVLoss(0.1, 3, 0.05)([a, b], [], queues if queued else None)
        return result.squeeze()

    return loss


LIGHTLY: dict[str, tuple[Loss, Any, float]] = {
    "nt_xent": (lambda a, b: nt_xent(a, b, 0.1), lightly.NTXentLoss(0.1), 1.0),
    "info_nce": (
        lambda q, k: info_nce(q, k.detach(), random_pair(9, 5, seed=1)[0].to(q.dtype), 0.2),
        lightly_info_nce,
        1.0,
    ),
    "negative_cosine": (negative_cosine, lightly.NegativeCosineSimilarity(), 1.0),
    "byol": (byol_loss, lambda a, b: 2 + 2 * lightly.NegativeCosineSimilarity()(a, b), 1.0),
    "barlow_twins": (lambda a, b: redundancy(a, b, LABELS), lightly.BarlowTwinsLoss(lambda_param=0.005), 1.0),
    "vicreg with the hinge": (weighted_vicreg, lightly.VICRegLoss(), 0.3),
    "vicreg without the hinge": (weighted_vicreg, lightly.VICRegLoss(), 3.0),
    "swav": (swapped(0), lightly_swapped(0), 0.5),
    "swav with a queue": (swapped(12), lightly_swapped(12), 0.5),
}
"""Our loss, lightly's, and the scale of the inputs."""


@pytest.mark.parametrize("name", LIGHTLY)
def test_value_and_gradients_are_those_of_lightly(name: str) -> None:
    ours, theirs, scale = LIGHTLY[name]
    mine = [(scale * z).requires_grad_() for z in random_pair(16, 5, dtype=torch.float32)]
    others = [z.detach().clone().requires_grad_() for z in mine]
    found, expected = ours(*mine), theirs(*others)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for one, other in zip(mine, others, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
