"""MoCo's loss in closed form and against other code, and the life of its queue."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.ssl.losses.similarity import info_nce, queue_logits
from fkt.ssl.moco import MoCo
from tests import references_momentum as references
from tests.ssl.siamese import SETTING, build, disturb, optimizer_of, reordered, train, views


def drawn(num_images: int = 6, size: int = 5, queue_size: int = 9, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(num_images, size), (num_images, size), (queue_size, size)]
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_the_loss_is_the_papers(temperature: float) -> None:
    queries, keys, queue = drawn()
    expected = references.info_nce(queries.tolist(), keys.tolist(), queue.tolist(), temperature)
    assert info_nce(queries, keys, queue, temperature).item() == pytest.approx(expected)


def test_value_and_gradient_are_those_of_lightly_with_a_memory_bank() -> None:
    from lightly.loss import NTXentLoss

    queries, keys, queue = drawn(dtype=torch.float32)
    theirs = NTXentLoss(0.2, memory_bank_size=(9, 5))
    theirs.memory_bank.bank = F.normalize(queue, dim=1)
    theirs.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.int64)
    ours, other = queries.clone().requires_grad_(), queries.clone().requires_grad_()
    loss, expected = info_nce(ours, keys, queue, 0.2), theirs(other, keys)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, other.grad)


@pytest.mark.parametrize(("queue_size", "value"), [(4096, 8.3180), (1023, math.log(1024)), (1, math.log(2))])
def test_equal_vectors_give_log_of_the_candidates(queue_size: int, value: float) -> None:
    same = torch.ones(3, 4, dtype=torch.float64)
    loss = info_nce(same, same, same[:1].expand(queue_size, 4), 0.1).item()
    assert loss == pytest.approx(math.log(queue_size + 1))
    assert loss == pytest.approx(value, abs=5e-5)


def test_keys_that_are_found_among_orthogonal_ones_have_a_closed_form() -> None:
    eye = torch.eye(12, dtype=torch.float64)
    loss = info_nce(eye[:4], 2 * eye[:4], eye[4:], 0.2).item()
    assert loss == pytest.approx(math.log(1 + 8 * math.exp(-5)))


def test_scale_does_not_matter_and_half_precision_is_compared_in_float32() -> None:
    queries, keys, queue = drawn(dtype=torch.float32)
    torch.testing.assert_close(info_nce(2 * queries, 3 * keys, 4 * queue, 0.2), info_nce(queries, keys, queue, 0.2))
    half = [part.bfloat16() for part in (queries, keys, queue)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(half[0], half[1], half[2], 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, info_nce(half[0].float(), half[1].float(), half[2].float(), 0.2))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        queue_logits(torch.zeros(4, 3), torch.zeros(5, 3), torch.zeros(9, 3), 0.1)
    with pytest.raises(ValueError, match=r"must be \(K, D\), not \(9, 2\)"):
        queue_logits(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(9, 2), 0.1)


@pytest.mark.parametrize(("asked", "images", "size"), [(20, 40, 20), (65536, 40, 32), (5, 9, 1)])
def test_the_queue_is_sized_by_the_data(asked: int, images: int, size: int) -> None:
    method = build(MoCo, setting=replace(SETTING, num_images=images), queue_size=asked)
    assert method.queue.shape == (size, 8)
    torch.testing.assert_close(method.queue.norm(dim=1), torch.ones(size))


def test_a_batch_of_all_images_is_refused_with_the_remedy() -> None:
    with pytest.raises(ParamsError, match="batch_size: 8 takes all 8 training images.*give less"):
        build(MoCo, setting=replace(SETTING, num_images=8))


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_is_against_the_queue_that_the_step_found(symmetric: bool) -> None:
    method, made = build(MoCo, symmetric=symmetric), views(2)
    disturb(method.key_network)
    copied, queue = copy.deepcopy(method), method.queue.clone()
    q = [copied.projector(copied.backbone(view)).tolist() for view in made.images]
    k = [copied.key_network(view).tolist() for view in made.images]
    pairs = [(q[0], k[1]), (q[1], k[0])][: 1 + symmetric]
    expected = [references.info_nce(queries, keys, queue.tolist(), 0.2) for queries, keys in pairs]
    output = method(made)
    assert output.loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert torch.equal(method.queue, queue), "the keys come in after the step"
    method.after_step(0.1)
    entered = torch.tensor(k[1] + k[0] if symmetric else k[1])
    torch.testing.assert_close(method.queue[: len(entered)], F.normalize(entered, dim=1))
    torch.testing.assert_close(method.queue[len(entered) :], queue[len(entered) :])


def test_the_symmetric_loss_does_not_depend_on_the_order_of_the_views_and_the_plain_one_does() -> None:
    made = views(2)
    for symmetric in (True, False):
        losses = []
        for order in ((0, 1), (1, 0)):
            method = build(MoCo, symmetric=symmetric)
            disturb(method.key_network)
            losses.append(method(reordered(made, *order)).loss)
        assert torch.allclose(*losses) == symmetric


def test_after_enough_steps_every_key_is_replaced_the_oldest_first_and_the_pointer_wraps() -> None:
    method = build(MoCo)
    start = method.queue.clone()
    optimizer = optimizer_of(method)
    train(method, optimizer, range(2))
    assert method.pointer.item() == 16
    assert torch.equal(method.queue[16:], start[16:])
    assert not (method.queue[:16] == start[:16]).all(dim=1).any()
    second = method.queue[8:16].clone()
    train(method, optimizer, range(2, 3))
    assert method.pointer.item() == 4
    assert torch.equal(method.queue[8:16], second)
    assert not (method.queue == start).all(dim=1).any()
    torch.testing.assert_close(method.queue.norm(dim=1), torch.ones(20))


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_batch_of_any_size_enters_and_only_the_last_keys_of_one_larger_than_the_queue(count: int) -> None:
    method = build(MoCo, queue_size=5)
    method.pointer.fill_(4)
    keys = F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    before = method.queue.clone()
    method._enqueue(keys, torch.arange(count))
    kept = keys[-5:]
    for offset in range(5):
        place = (4 + offset) % 5
        expected = kept[offset] if offset < len(kept) else before[place]
        assert torch.equal(method.queue[place], expected)
        assert method.queue_labels[place] == (max(0, count - 5) + offset if offset < len(kept) else -1)
    assert method.pointer.item() == (4 + len(kept)) % 5


def test_a_key_enters_once() -> None:
    method = build(MoCo)
    train(method, optimizer_of(method), range(1))
    queue = method.queue.clone()
    method.after_step(0.5)
    assert torch.equal(method.queue, queue)


def test_tau_one_leaves_the_key_network_alone() -> None:
    method = build(MoCo, tau=1.0)
    before = [parameter.clone() for parameter in method.key_network.parameters()]
    train(method, optimizer_of(method), range(2))
    assert all(torch.equal(a, b) for a, b in zip(before, method.key_network.parameters(), strict=True))


def test_a_queue_of_one_point_shows_in_the_logs() -> None:
    method = build(MoCo)
    healthy = method(views(2)).logs
    for network in (method.projector, method.key_network.network[1]):
        nn.init.zeros_(network[-1].weight)
        nn.init.ones_(network[-1].bias)
    method.queue.fill_(8**-0.5)
    logs = method(views(2)).logs
    assert logs["positive_cosine"].item() == pytest.approx(1.0, abs=1e-5)
    assert logs["negative_cosine"].item() == pytest.approx(1.0, abs=1e-5)
    assert logs["projection_std"] < 1e-3 < healthy["projection_std"]
    assert healthy["negative_cosine"].abs() < 0.5
