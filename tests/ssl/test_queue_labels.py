"""Elimination of false negatives among MoCo's queue: the loss, and the labels that go along with the keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fkt.ssl.losses.contrastive import info_nce_without_false_negatives
from fkt.ssl.losses.similarity import info_nce
from fkt.ssl.moco import MoCo
from fkt.views.loader import Views
from tests import references_momentum as references
from tests.ssl.siamese import build, disturb, optimizer_of, train, views

LABELS = torch.tensor([0, 1, 2, -1, 0, 1])
QUEUE_LABELS = torch.tensor([0, 0, 1, -1, -1, 2, 2, 2, 3])


def drawn(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in ((6, 5), (6, 5), (9, 5))]


def unlabelled(made: Views) -> Views:
    return replace(made, labels=torch.full_like(made.labels, -1))


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_the_loss_is_that_of_each_query_against_the_keys_that_are_left(temperature: float) -> None:
    q, k, queue = drawn()
    found = info_nce_without_false_negatives(q, k, queue, LABELS, QUEUE_LABELS, temperature)
    expected = references.info_nce_without_false_negatives(
        q.tolist(), k.tolist(), queue.tolist(), LABELS.tolist(), QUEUE_LABELS.tolist(), temperature
    )
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize(("labels", "queue_labels"), [(-1, 0), (0, -1), (-1, -1), (0, 1)])
def test_without_a_class_in_common_it_is_info_nce_bit_for_bit(labels: int, queue_labels: int) -> None:
    q, k, queue = drawn(torch.float32)
    mine, other = q.clone().requires_grad_(), q.clone().requires_grad_()
    found = info_nce_without_false_negatives(
        mine, k, queue, torch.full((6,), labels), torch.full((9,), queue_labels), 0.2
    )
    expected = info_nce(other, k, queue, 0.2)
    found.backward()
    expected.backward()
    assert torch.equal(found, expected) and torch.equal(mine.grad, other.grad)  # type: ignore[arg-type]


def test_a_queue_of_the_querys_class_leaves_the_key_alone_and_no_loss() -> None:
    q, k, queue = drawn()
    zeros = torch.zeros(9, dtype=torch.int64)
    loss = info_nce_without_false_negatives(q.requires_grad_(), k, queue, zeros[:6], zeros, 0.2)
    loss.backward()
    assert loss.item() == 0 and q.grad is not None and not q.grad.any(), "elimination, no attraction"


def test_the_loss_never_rises_as_more_labels_are_known() -> None:
    q, k, queue = drawn()
    labels, losses = torch.full((9,), -1), []
    for place in [None, *torch.randperm(9, generator=torch.Generator().manual_seed(1)).tolist()]:
        if place is not None:
            labels[place] = QUEUE_LABELS[place]
        losses.append(info_nce_without_false_negatives(q, k, queue, LABELS, labels, 0.5).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == info_nce(q, k, queue, 0.5).item() > losses[-1]


def test_with_keep_moco_is_the_same_bit_for_bit_whatever_labels_it_is_shown() -> None:
    shown, hidden = build(MoCo), build(MoCo)
    for step in range(3):
        made = views(2, step)
        for method, seen in ((shown, made), (hidden, unlabelled(made))):
            output = method(seen)
            output.loss.backward()
            method.after_step(step / 3)
            assert "eliminated" not in output.logs
    for name, tensor in shown.state_dict().items():
        assert name == "queue_labels" or torch.equal(tensor, hidden.state_dict()[name]), name


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_labels_of_a_step_are_those_of_the_next_steps_negatives(symmetric: bool) -> None:
    method = build(MoCo, symmetric=symmetric, false_negatives="eliminate")
    disturb(method.key_network)
    first = views(2, 0)
    output = method(first)
    assert output.logs["eliminated"] == 0, "the random keys of the start are of no known class"
    assert torch.equal(output.loss, plain_loss(method, first, symmetric))
    method.after_step(0.5)
    second = views(2, 1)
    q, k = embedded(method, second, symmetric)
    labels = second.labels.repeat(1 + symmetric).tolist()
    queue_labels = [*first.labels.repeat(1 + symmetric).tolist(), *[-1] * (20 - 8 * (1 + symmetric))]
    expected = references.info_nce_without_false_negatives(q, k, method.queue.tolist(), labels, queue_labels, 0.2)
    output = method(second)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    pairs = sum(a == b for a in labels for b in queue_labels)
    assert output.logs["eliminated"].item() == pytest.approx(pairs / (len(labels) * 20))
    assert output.loss < plain_loss(method, second, symmetric)


def embedded(method: MoCo, made: Views, symmetric: bool) -> tuple[list[list[float]], list[list[float]]]:
    q = [method.projector(method.backbone(view)) for view in made.images]
    k = [method.key_network(view) for view in made.images]
    both = slice(0, 1 + symmetric)
    return torch.cat(q[both]).tolist(), torch.cat([k[1], k[0]][both]).tolist()


def plain_loss(method: MoCo, made: Views, symmetric: bool) -> Tensor:
    q, k = (torch.tensor(rows) for rows in embedded(method, made, symmetric))
    return info_nce(q, k, method.queue, 0.2)


def test_the_labels_rotate_with_the_keys_and_wrap_around() -> None:
    method = build(MoCo, false_negatives="eliminate")
    assert method.queue_labels.dtype == torch.int64 and method.queue_labels.tolist() == [-1] * 20
    optimizer = optimizer_of(method)
    one = (torch.arange(8) % 3).tolist()
    train(method, optimizer, range(2))
    assert method.queue_labels.tolist() == [*one, *one, *[-1] * 4]
    train(method, optimizer, range(2, 3))
    assert method.queue_labels.tolist() == [*one[4:], *one[4:], *one, *one[:4]]


def test_an_unlabelled_image_puts_an_unknown_label_in_the_place_of_a_known_one() -> None:
    method = build(MoCo, queue_size=8, false_negatives="eliminate")
    for made in (views(2, 0), unlabelled(views(2, 1))):
        method(made).loss.backward()
        method.after_step(0.5)
    assert method.queue_labels.tolist() == [-1] * 8


def test_a_resumed_run_keeps_the_labels_of_its_queue() -> None:
    straight, resumed = (build(MoCo, false_negatives="eliminate") for _ in range(2))
    optimizer = optimizer_of(straight)
    train(straight, optimizer, range(2))
    resumed.load_state_dict({name: tensor.clone() for name, tensor in straight.state_dict().items()})
    assert resumed.queue_labels.tolist() == straight.queue_labels.tolist() != [-1] * 20
    made = views(2, 2)
    found, expected = resumed(made), straight(made)
    assert torch.equal(found.loss, expected.loss) and found.logs["eliminated"] == expected.logs["eliminated"] > 0
