"""Closed forms of the contrastive losses, what labels change in them, and SimCLR and SupCon, which use them."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.contrastive import (
    bank_info_nce,
    info_nce,
    nce,
    nt_xent,
    same_class,
    same_class_in_batch,
    sup_con,
)
from tests import references_losses as references
from tests.ssl.harness import LABELS, build, random_pair, unlabelled, views

UNKNOWN = torch.full((8,), -1)
TRUTH = torch.tensor([0, 1, 0, 1, 2, 0, 1, 0])
QUEUE = random_pair(8, 4, seed=1)[0]


def elimination(z_a: Tensor, z_b: Tensor, labels: Tensor) -> Tensor:
    return nt_xent(z_a, z_b, 0.5, same_class_in_batch(labels))


def queue_elimination(queries: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
    return info_nce(queries, keys, QUEUE, 0.5, same_class(TRUTH, labels))


def plain(loss: Callable[..., Tensor], z_a: Tensor, z_b: Tensor) -> Tensor:
    return info_nce(z_a, z_b, QUEUE, 0.5) if loss is queue_elimination else nt_xent(z_a, z_b, 0.5)


def supervised(z_a: Tensor, z_b: Tensor, labels: Tensor) -> Tensor:
    return sup_con(z_a, z_b, same_class_in_batch(labels), 0.5)


def test_the_masks_hold_only_known_pairs_of_different_images() -> None:
    expected = torch.zeros(8, 8, dtype=torch.bool)
    for i, k in ((0, 3), (1, 4)):
        expected[i, k] = expected[k, i] = True
    assert torch.equal(same_class_in_batch(LABELS), expected)
    mask = same_class(torch.tensor([0, 1, -1]), torch.tensor([1, -1, 0, 1]))
    assert mask.tolist() == [[False, False, True, False], [True, False, False, True], [False] * 4]


@pytest.mark.parametrize("count", [1, 2, 64, 256])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equal_embeddings_give_the_log_of_the_number_of_candidates(count: int, temperature: float) -> None:
    z = torch.ones(count, 8, dtype=torch.float64)
    assert nt_xent(z, z, temperature).item() == pytest.approx(math.log(2 * count - 1))
    for labels in (torch.full((count,), -1), torch.arange(count) % 3, torch.zeros(count, dtype=torch.int64)):
        loss = sup_con(z, z, same_class_in_batch(labels), temperature)
        assert loss.item() == pytest.approx(math.log(2 * count - 1))
    assert info_nce(z[:1], z[:1], z, temperature).item() == pytest.approx(math.log(count + 1))
    same = torch.full((3, 1 + count), 0.2, dtype=torch.float64)
    assert bank_info_nce(same, temperature).item() == pytest.approx(math.log(1 + count))
    expected = math.log(1 + count) + count * math.log(1 + 1 / count)
    assert nce(same, temperature).item() == pytest.approx(expected)


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
    loss = info_nce(z[:4], 2 * z[:4], z[4:12], temperature).item()
    assert loss == pytest.approx(math.log(1 + 8 * math.exp(-1 / temperature)))


def test_the_simplex_is_the_minimum_of_nt_xent() -> None:
    count, temperature = 16, 0.5
    simplex = torch.eye(count, dtype=torch.float64) - 1 / count
    minimum = math.log(1 + (2 * count - 2) * math.exp(-(1 + 1 / (count - 1)) / temperature))
    assert nt_xent(simplex, simplex, temperature).item() == pytest.approx(minimum)
    assert nt_xent(*random_pair(count, count), temperature).item() > minimum


def test_the_loss_is_a_mean_so_that_lambda_depends_little_on_the_batch() -> None:
    z_a, z_b = random_pair(512, 64)
    small, large = nt_xent(z_a[:128], z_b[:128], 0.5), nt_xent(z_a, z_b, 0.5)
    assert large / small < math.log(1024) / math.log(256) + 0.05


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("temperature", [0.001, 0.07])
def test_nce_and_its_gradient_are_finite_for_extreme_similarities(sign: int, temperature: float) -> None:
    similarities = torch.tensor([[sign, -0.9, -sign, -0.9]] * 2, requires_grad=True)
    loss = nce(similarities, temperature)
    loss.backward()
    assert loss.isfinite() and similarities.grad is not None and similarities.grad.isfinite().all()
    distance = 2 / temperature if sign < 0 else 0.0
    assert loss.item() == pytest.approx(2 * distance, rel=0.05, abs=1e-6), "of the positive, and of the nearest"


@pytest.mark.parametrize("labels", [UNKNOWN, torch.arange(8) + 3, torch.tensor([-1, -1, -1, 5, 3, -1, -1, 4])])
@pytest.mark.parametrize("loss", [elimination, queue_elimination, supervised])
def test_unknown_or_different_labels_change_neither_loss_nor_gradient(
    loss: Callable[..., Tensor], labels: Tensor
) -> None:
    ours, theirs = [[z.requires_grad_() for z in random_pair()] for _ in range(2)]
    found, expected = loss(ours[0], ours[1], labels), plain(loss, theirs[0], theirs[1])
    tolerance = {} if loss is supervised else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(found, expected, **tolerance)
    found.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **tolerance)


@pytest.mark.parametrize("loss", [elimination, queue_elimination])
def test_elimination_never_increases_the_loss_as_more_labels_become_known(loss: Callable[..., Tensor]) -> None:
    z_a, z_b = random_pair()
    labels, losses = UNKNOWN.clone(), [loss(z_a, z_b, UNKNOWN).item()]
    for image in torch.randperm(8, generator=torch.Generator().manual_seed(0)).tolist():
        labels[image] = TRUTH[image]
        losses.append(loss(z_a, z_b, labels).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == plain(loss, z_a, z_b).item() > losses[-1]


def test_images_of_one_class_have_no_gradient_after_elimination_and_attract_in_supcon() -> None:
    for loss, attracts in ((elimination, False), (supervised, True)):
        z_a, z_b = (z.requires_grad_() for z in random_pair())
        found = loss(z_a, z_b, torch.zeros(8, dtype=torch.int64))
        found.backward()
        assert z_a.grad is not None and bool(z_a.grad.any()) == attracts == bool(found.item())


def test_only_images_with_a_known_common_class_attract_in_supcon() -> None:
    z = torch.eye(4, dtype=torch.float64)
    moved = z.clone()
    moved[1] = F.normalize(z[0] + z[1], dim=0)  # images 0 and 1 come closer
    known, unknown = torch.tensor([0, 0, 1, 2]), torch.tensor([0, -1, 1, 2])
    assert supervised(moved, moved, known) < supervised(z, z, known)
    assert supervised(moved, moved, unknown) > supervised(z, z, unknown)


def test_supcon_is_at_least_the_loss_with_the_mean_inside_the_logarithm() -> None:
    z_a, z_b = random_pair()
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)
    same = (TRUTH.repeat(2)[:, None] == TRUTH.repeat(2)).fill_diagonal_(False)
    shares = (z @ z.T / 0.5).fill_diagonal_(float("-inf")).softmax(dim=1) * same
    inside = -(shares.sum(dim=1) / same.sum(dim=1)).log().mean()  # L_in (SupCon, Eq. 3)
    assert supervised(z_a, z_b, TRUTH) > inside


@pytest.mark.parametrize(
    ("name", "changes", "attract", "logs"),
    [
        ("simclr", {}, None, {}),
        ("simclr", {"false_negatives": "eliminate"}, False, {"eliminated": 4 / (8 * 7)}),
        ("supcon", {"temperature": 0.5}, True, {"positives": 1 + 2 * (2 + 2) / 8}),
    ],
)
def test_methods_use_the_labels_that_they_see(
    name: str, changes: dict[str, str], attract: bool | None, logs: dict[str, float]
) -> None:
    made, copied = views(2), build(name, **changes)
    z_a, z_b = copied.projector(copied.backbone(torch.cat(made.images))).chunk(2)
    labels = UNKNOWN if attract is None else LABELS
    expected = references.contrastive(z_a.tolist(), z_b.tolist(), labels.tolist(), 0.5, attract=bool(attract))
    output = build(name, **changes)(made)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    for key, value in logs.items():
        assert output.logs[key].item() == pytest.approx(value)
    without = build(name, **changes)(unlabelled(made))
    torch.testing.assert_close(without.loss, build("simclr")(made).loss)
    assert without.logs.get("eliminated", 0) == 0 and without.logs.get("positives", 1) == 1


def test_supcon_and_simclr_accept_a_batch_of_one_image() -> None:
    assert build("supcon")(views(2, batch=1)).logs["relative_loss"] == 0
    output = build("simclr", false_negatives="eliminate")(views(2, batch=1))
    assert output.loss == 0 and output.logs["eliminated"] == 0
