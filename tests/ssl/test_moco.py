"""MoCo's queue: its size, its order, the images and labels of its keys, and the loss against it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from tests import references_losses as references
from tests.references import cosine
from tests.ssl.harness import LABELS, SETTING, build, disturb, optimizer_of, reordered, train, unlabelled, views


@pytest.mark.parametrize(("asked", "images", "size"), [(20, 40, 20), (65536, 40, 32), (5, 9, 1)])
def test_the_queue_is_limited_by_the_images_outside_a_batch(asked: int, images: int, size: int) -> None:
    method = build("moco", replace(SETTING, num_images=images), queue_size=asked)
    assert method.queue.shape == (size, 8)
    torch.testing.assert_close(method.queue.norm(dim=1), torch.ones(size))
    assert method.queue_labels.tolist() == method.queue_ids.tolist() == [-1] * size
    assert method.sizes == {"queue_size": size}, "as the record of a run has it"


def test_a_batch_of_all_images_is_refused() -> None:
    with pytest.raises(ParamsError, match="outside a batch, but batch_size: 8 uses all 8 of them; decrease"):
        build("moco", replace(SETTING, num_images=8))


@pytest.mark.parametrize("eliminate", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_is_against_keys_of_other_images_in_the_queue_before_the_step(
    symmetric: bool, eliminate: bool
) -> None:
    method = build("moco", symmetric=symmetric, false_negatives="eliminate" if eliminate else "keep")
    disturb(method.target)
    ways = 1 + symmetric
    queue_labels, queue_ids = [-1] * 20, [-1] * 20
    for step in range(4):
        made, queue = replace(views(2, step), ids=torch.arange(8) + 4 * step), method.queue.clone()
        # The backbone is in train mode, where the running statistics do not matter.
        q = [method.projector(method.backbone(view)).tolist() for view in made.images]
        k = [method.target(view).tolist() for view in made.images]
        queries, keys, labels = sum(q[:ways], []), sum([k[1], k[0]][:ways], []), LABELS.tolist() * ways
        ids = made.ids.tolist() * ways
        others = [
            [place for place in range(20) if queue_ids[place] != own] for own in ids
        ]  # the places of the keys of other images
        rows = [
            [key, *(queue[j].tolist() for j in places if not (eliminate and queue_labels[j] == label != -1))]
            for key, label, places in zip(keys, labels, others, strict=True)
        ]
        assert any(len(places) < 20 for places in others) == bool(step), "older keys of the same images"
        output = method(made)
        assert output.loss.item() == pytest.approx(references.info_nce(queries, rows, 0.2), rel=1e-5)
        asked = zip(queries, others, strict=True)
        found = [[cosine(query, queue[j].tolist()) for j in places] for query, places in asked]
        nearest = [cosine(q, key) > max(row) for q, key, row in zip(queries, keys, found, strict=True)]
        assert output.logs["contrast_accuracy"].item() == pytest.approx(sum(nearest) / len(nearest))
        mean = sum(map(sum, found)) / sum(map(len, found))
        assert output.logs["negative_cosine"].item() == pytest.approx(mean, rel=1e-4, abs=1e-6)
        if eliminate:
            pairs = sum(a == b != -1 for a in labels for b in queue_labels)
            assert output.logs["eliminated"].item() == pytest.approx(pairs / (len(labels) * 20))
            assert bool(pairs) == bool(step), "the random keys at the start have no labels"
        else:
            assert "eliminated" not in output.logs
        assert torch.equal(method.queue, queue), "keys enter after the step"
        method.after_step(step / 2)
        start = step * len(keys)
        places = [(start + offset) % 20 for offset in range(len(keys))]
        torch.testing.assert_close(method.queue[places], F.normalize(torch.tensor(keys), dim=1))
        for place, label, own in zip(places, labels, ids, strict=True):
            queue_labels[place], queue_ids[place] = label, own
        assert (method.queue_labels.tolist(), method.queue_ids.tolist()) == (queue_labels, queue_ids)


def test_only_the_symmetric_loss_ignores_the_order_of_the_views() -> None:
    for symmetric in (True, False):
        losses = []
        for order in ((0, 1), (1, 0)):
            method = build("moco", symmetric=symmetric)
            disturb(method.target)
            losses.append(method(reordered(views(2), *order)).loss)
        assert torch.allclose(*losses) == symmetric


def test_a_query_without_negatives_has_no_loss() -> None:
    method = build("moco", replace(SETTING, num_images=9))
    method.queue_ids.fill_(3)
    output = method(replace(views(2), ids=torch.full((8,), 3)))
    assert output.loss.item() == pytest.approx(0, abs=1e-6)
    assert output.logs["negative_cosine"].item() == 0


def test_without_elimination_labels_do_not_matter() -> None:
    shown, hidden = build("moco"), build("moco")
    for step in range(3):
        for method, made in ((shown, views(2, step)), (hidden, unlabelled(views(2, step)))):
            method(made).loss.backward()
            method.after_step(step / 3)
    for name, tensor in shown.state_dict().items():
        assert name == "queue_labels" or torch.equal(tensor, hidden.state_dict()[name]), name


def test_unlabelled_keys_replace_the_labels_of_older_keys() -> None:
    method = build("moco", queue_size=8, false_negatives="eliminate")
    for made, expected in ((views(2, 0), LABELS.tolist()), (unlabelled(views(2, 1)), [-1] * 8)):
        method(made).loss.backward()
        method.after_step(0.5)
        assert method.queue_labels.tolist() == expected


def test_new_keys_replace_the_oldest_and_the_pointer_wraps() -> None:
    method = build("moco")
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
def test_of_a_batch_larger_than_the_queue_the_last_keys_enter(count: int) -> None:
    method = build("moco", queue_size=5)
    method.pointer.fill_(4)
    keys = F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    before = method.queue.clone()
    method._enqueue(keys, torch.arange(count) + 10, torch.arange(count))
    kept = keys[-5:]
    for offset in range(5):
        place = (4 + offset) % 5
        assert torch.equal(method.queue[place], kept[offset] if offset < len(kept) else before[place])
        expected = max(0, count - 5) + offset if offset < len(kept) else -1
        assert method.queue_labels[place] == expected
        assert method.queue_ids[place] == (expected + 10 if offset < len(kept) else -1)
    assert method.pointer.item() == (4 + len(kept)) % 5


def test_keys_enter_once() -> None:
    method = build("moco")
    train(method, optimizer_of(method), range(1))
    queue = method.queue.clone()
    method.after_step(0.5)
    assert torch.equal(method.queue, queue)


def test_the_logs_show_a_collapse() -> None:
    method = build("moco")
    healthy = method(views(2)).logs
    for network in (method.projector, method.target.network[1]):
        nn.init.zeros_(network[-1].weight)
        nn.init.ones_(network[-1].bias)
    method.queue.fill_(8**-0.5)
    logs = method(views(2)).logs
    assert logs["positive_cosine"].item() == pytest.approx(1.0, abs=1e-5)
    assert logs["negative_cosine"].item() == pytest.approx(1.0, abs=1e-5)
    assert logs["projection_std"] < 1e-3 < healthy["projection_std"]
    assert healthy["negative_cosine"].abs() < 0.5
