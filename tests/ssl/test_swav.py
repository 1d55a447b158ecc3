"""Properties of SwAV's codes and loss, and its schedule of frozen prototypes and queue."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.losses.clustering import effective_prototypes, prototype_scores, sinkhorn, swapped_prediction
from tests.ssl.harness import build, random_pair, train, views


def cosines(num_images: int, prototypes: int, seed: int = 0) -> Tensor:
    return (random_pair(num_images, prototypes, seed)[0] / 2).tanh()


def test_rows_of_codes_sum_to_one_and_prototypes_approach_equal_mass() -> None:
    scores = cosines(64, 10)
    spreads = []
    for iterations in (1, 3, 30, 300):
        codes = sinkhorn(scores, 0.05, iterations)
        torch.testing.assert_close(codes.sum(dim=1), torch.ones(64, dtype=torch.float64))
        spreads.append((codes.sum(dim=0) - 6.4).abs().max().item())
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 1e-3 < spreads[0]


def test_a_constant_per_prototype_never_changes_codes_and_one_per_sample_only_before_convergence() -> None:
    scores, constants = cosines(8, 5), cosines(8, 5, seed=1)
    codes = sinkhorn(scores, 0.05, 3)
    torch.testing.assert_close(sinkhorn(scores + constants[:1], 0.05, 3), codes)
    moved = scores + constants[:, :1]
    assert (sinkhorn(moved, 0.05, 3) - codes).abs().max() > 1e-3
    torch.testing.assert_close(sinkhorn(moved, 0.5, 500), sinkhorn(scores, 0.5, 500))


def test_codes_follow_the_order_of_samples_and_prototypes() -> None:
    scores = cosines(8, 5)
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(8, generator=generator), torch.randperm(5, generator=generator)
    expected = sinkhorn(scores, 0.05, 3)[rows][:, columns]
    torch.testing.assert_close(sinkhorn(scores[rows][:, columns], 0.05, 3), expected)


@pytest.mark.parametrize("epsilon", [1e-4, 0.05, 100.0])
def test_no_epsilon_overflows_or_loses_a_prototype(epsilon: float) -> None:
    codes = sinkhorn(torch.tensor([[1.0, -1.0, -1.0]] * 3).bfloat16(), epsilon, 3)
    torch.testing.assert_close(codes, torch.full((3, 3), 1 / 3))


def test_uniform_predictions_cost_the_log_of_the_prototypes_and_perfect_ones_the_entropy_of_the_codes() -> None:
    codes = sinkhorn(cosines(8, 5), 0.5, 3)
    scores = torch.full((8, 5), 0.3, dtype=torch.float64)
    assert swapped_prediction(scores, scores, codes, codes.flip(0), 0.1).item() == pytest.approx(math.log(5))
    entropy = -(codes * codes.log()).sum(dim=1).mean().item()
    assert swapped_prediction(cosines(8, 5), cosines(8, 5, 1), codes, codes, 0.1).item() > entropy
    perfect = 0.1 * codes.log()
    assert swapped_prediction(perfect, perfect, codes, codes, 0.1).item() == pytest.approx(entropy)


def test_codes_have_no_gradient() -> None:
    scores_a, scores_b = (cosines(8, 5, seed).requires_grad_() for seed in (0, 1))
    assert not sinkhorn(scores_a, 0.05, 3).requires_grad
    codes = scores_a.softmax(dim=1)
    swapped_prediction(scores_b, scores_b, codes, codes, 0.1).backward()
    assert scores_a.grad is None and scores_b.grad is not None


def test_effective_prototypes_counts_the_nearest_prototypes() -> None:
    assert effective_prototypes(torch.eye(6).repeat(4, 1)).item() == pytest.approx(6)
    assert effective_prototypes(torch.eye(6)[:3]).item() == pytest.approx(3)
    assert effective_prototypes(torch.rand(1, 6).expand(24, 6)).item() == pytest.approx(1)


def test_the_logs_show_a_collapse() -> None:
    collapsed = build("swav", prototypes=32)
    for parameter in collapsed.projector.parameters():
        torch.nn.init.zeros_(parameter)
    logs = collapsed(views(2)).logs
    assert logs["relative_loss"].item() == pytest.approx(1)
    assert logs["prototypes_used"].item() == pytest.approx(1)
    assert build("swav", prototypes=32)(views(2)).logs["prototypes_used"] > 3


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_prototypes_are_unit_vectors_and_frozen_for_their_share_of_the_run(optimizer: type) -> None:
    method = build("swav", frozen_share=0.5)
    made = optimizer(method.parameters(), lr=0.1, weight_decay=0.1)
    states = [method.prototypes.weight.detach().clone()]
    for step in range(4):
        train(method, made, range(step, step + 1), steps=4)
        states.append(method.prototypes.weight.detach().clone())
        torch.testing.assert_close(states[-1].norm(dim=1), torch.ones(6))
        moved = (states[-1] - states[-2]).abs().max()
        # Normalizing unit vectors may still change their last bit.
        assert moved < 1e-6 if step < 2 else moved > 1e-4, step


def test_a_resumed_run_has_the_same_progress() -> None:
    method, resumed = build("swav"), build("swav")
    method.after_step(0.7)  # not exact in float32, in which it is saved
    resumed.load_state_dict(method.state_dict())
    assert resumed.progress == method.progress


def test_the_queue_holds_the_newest_projections_of_each_view() -> None:
    queued = build("swav", queue_size=20, queue_start=1.0)
    seen: list[Tensor] = []
    queued.projector.register_forward_hook(lambda module, inputs, output: seen.insert(0, output.detach()))
    for step, size in enumerate((8, 8, 3, 2, 30)):
        queued(views(2, step, batch=size))
        for view in (0, 1):
            newest = torch.cat([F.normalize(z, dim=1).chunk(2)[view] for z in seen])[:20]
            torch.testing.assert_close(queued.queue[view, : len(newest)], newest)
            assert queued.num_queued == len(newest)
            assert not queued.queue[view, len(newest) :].any()


def test_the_queue_is_used_from_its_share_of_the_run() -> None:
    plain, queued = build("swav"), build("swav", queue_size=20, queue_start=0.5)
    for step, expected in enumerate((True, False)):
        for method in (plain, queued):
            method(views(2, step + 10))  # fills the queue
            method.after_step(step / 2)
        assert (plain(views(2)).loss == queued(views(2)).loss) == expected


def test_codes_with_a_queue_are_balanced_together_with_it() -> None:
    queued, made = build("swav", queue_size=8), views(2)
    with torch.no_grad():
        queued(views(2, 1))
        older, weight = queued.queue.clone(), queued.prototypes.weight
        z = queued.projector(queued.backbone(torch.cat(made.images))).chunk(2)
        scores = [prototype_scores(one, weight) for one in z]
        both = zip(scores, older, strict=True)
        codes = [sinkhorn(torch.cat([s, prototype_scores(q, weight)]), 0.05, 3)[:8] for s, q in both]
        expected = swapped_prediction(scores[0], scores[1], codes[0], codes[1], 0.1)
        torch.testing.assert_close(queued(made).loss, expected)
