"""SwAV against the paper's algorithm, another library, its closed forms, and its schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import SwAVParams
from fkt.ssl.losses.clustering import effective_prototypes, prototype_scores, sinkhorn, swapped_prediction
from fkt.ssl.swav import SwAV
from tests import references_negative_free as references
from tests.ssl.negative_free import (
    check_features,
    check_resume,
    check_steps_under_autocast,
    fresh,
    pair,
    setting,
    step_once,
    views,
)

PARAMS = {
    "projector_hidden": 16,
    "projector_size": 8,
    "prototypes": 6,
    "temperature": 0.1,
    "epsilon": 0.05,
    "sinkhorn_iterations": 3,
    "frozen_share": 0.0,
    "queue_size": 0,
    "queue_start": 0.0,
}


def make(backbone: ResNet, **changed: float) -> SwAV:
    return SwAV(backbone, SwAVParams.model_validate(PARAMS | changed), setting())


def with_queue(backbone: ResNet) -> SwAV:
    return make(backbone, frozen_share=0.5, queue_size=20, queue_start=0.5)


def method(**changed: float) -> SwAV:
    made = fresh(lambda backbone: make(backbone, **changed))
    assert isinstance(made, SwAV)
    return made


def cosines(num_images: int, prototypes: int, seed: int = 0) -> Tensor:
    return F.tanh(pair(num_images, prototypes, seed)[0] / 2)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize(("num_images", "prototypes"), [(2, 3), (7, 4), (8, 16)])
def test_sinkhorn_is_the_papers_algorithm_and_lightlys(num_images: int, prototypes: int, epsilon: float) -> None:
    from lightly.loss.swav_loss import sinkhorn as of_lightly

    scores = cosines(num_images, prototypes)
    for iterations in (1, 3, 10):
        codes = sinkhorn(scores, epsilon, iterations)
        expected = references.sinkhorn(scores.tolist(), epsilon, iterations)
        torch.testing.assert_close(codes, torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(codes, of_lightly(scores, iterations, epsilon))


def test_the_code_of_each_sample_sums_to_one_and_prototypes_approach_equal_mass() -> None:
    scores = cosines(64, 10)
    spreads = []
    for iterations in (1, 3, 30, 300):
        codes = sinkhorn(scores, 0.05, iterations)
        torch.testing.assert_close(codes.sum(dim=1), torch.ones(64, dtype=torch.float64))
        spreads.append((codes.sum(dim=0) - 6.4).abs().max().item())
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 1e-3 < spreads[0]


def test_equal_scores_give_uniform_codes() -> None:
    torch.testing.assert_close(sinkhorn(torch.full((5, 4), 0.7), 0.05, 3), torch.full((5, 4), 0.25))


def test_a_constant_of_a_prototype_changes_no_code_and_one_of_a_sample_only_before_convergence() -> None:
    scores = cosines(8, 5)
    codes = sinkhorn(scores, 0.05, 3)
    constants = cosines(8, 5, seed=1)
    torch.testing.assert_close(sinkhorn(scores + constants[:1], 0.05, 3), codes)
    moved = scores + constants[:, :1]
    assert (sinkhorn(moved, 0.05, 3) - codes).abs().max() > 1e-3
    torch.testing.assert_close(sinkhorn(moved, 0.5, 500), sinkhorn(scores, 0.5, 500))


def test_codes_move_with_samples_and_prototypes() -> None:
    scores = cosines(8, 5)
    codes = sinkhorn(scores, 0.05, 3)
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(8, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(sinkhorn(scores[rows][:, columns], 0.05, 3), codes[rows][:, columns])


def test_no_epsilon_overflows_or_loses_a_prototype() -> None:
    scores = torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [1.0, -1.0, -1.0]])
    for epsilon in (1e-4, 0.05, 100.0):
        codes = sinkhorn(scores.bfloat16(), epsilon, 3)
        assert codes.dtype == torch.float32 and codes.isfinite().all()
        torch.testing.assert_close(codes, torch.full((3, 3), 1 / 3))


def test_sinkhorn_needs_an_iteration() -> None:
    with pytest.raises(ValueError, match="at least 1 iteration, not 0"):
        sinkhorn(torch.zeros(2, 2), 0.05, 0)


def test_the_loss_is_the_papers() -> None:
    scores_a, scores_b = cosines(7, 4), cosines(7, 4, seed=1)
    codes_a, codes_b = sinkhorn(scores_a, 0.05, 3), sinkhorn(scores_b, 0.05, 3)
    found = swapped_prediction(scores_a, scores_b, codes_a, codes_b, 0.1).item()
    everything = (scores_a.tolist(), scores_b.tolist(), codes_a.tolist(), codes_b.tolist())
    assert found == pytest.approx(references.swav(*everything, 0.1), rel=1e-9)


@pytest.mark.parametrize("queued", [0, 12])
def test_the_loss_and_its_gradient_are_those_of_lightly(queued: int) -> None:
    from lightly.loss import SwaVLoss

    ours = [cosines(8, 5, seed).float().requires_grad_() for seed in (0, 1)]
    theirs = [scores.detach().clone().requires_grad_() for scores in ours]
    queues = [cosines(queued, 5, seed).float() for seed in (2, 3)]
    with torch.no_grad():
        codes = [sinkhorn(torch.cat([s, q]), 0.05, 3)[:8] for s, q in zip(ours, queues, strict=True)]
    found = swapped_prediction(ours[0], ours[1], codes[0], codes[1], 0.1)
    expected = SwaVLoss(0.1, 3, 0.05)(theirs, [], queues if queued else None)
    torch.testing.assert_close(found, expected.squeeze())
    found.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_uniform_predictions_cost_log_of_the_prototypes_whatever_the_codes() -> None:
    codes = sinkhorn(cosines(8, 5), 0.05, 3)
    scores = torch.full((8, 5), 0.3, dtype=torch.float64)
    assert swapped_prediction(scores, scores, codes, codes.flip(0), 0.1).item() == pytest.approx(math.log(5))


def test_the_loss_is_at_least_the_entropy_of_the_codes() -> None:
    codes = sinkhorn(cosines(8, 5), 0.5, 3)
    entropy = -(codes * codes.log()).sum(dim=1).mean().item()
    assert swapped_prediction(cosines(8, 5), cosines(8, 5, 1), codes, codes, 0.1).item() > entropy
    perfect = 0.1 * codes.log()
    assert swapped_prediction(perfect, perfect, codes, codes, 0.1).item() == pytest.approx(entropy)


def test_codes_carry_no_gradient() -> None:
    scores_a, scores_b = (cosines(8, 5, seed).requires_grad_() for seed in (0, 1))
    assert not sinkhorn(scores_a, 0.05, 3).requires_grad
    codes = scores_a.softmax(dim=1)
    swapped_prediction(scores_b, scores_b, codes, codes, 0.1).backward()
    assert scores_a.grad is None and scores_b.grad is not None


def test_scores_are_cosines_in_float32_under_autocast() -> None:
    z, prototypes = pair(8, 4, dtype=torch.float32)
    prototypes = F.normalize(prototypes, dim=1)
    expected = F.cosine_similarity(z.bfloat16().float()[:, None], prototypes[None], dim=2)
    with torch.autocast("cpu", torch.bfloat16):
        scores = prototype_scores(z.bfloat16(), prototypes)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected)


def test_effective_prototypes_counts_what_is_nearest() -> None:
    assert effective_prototypes(torch.eye(6).repeat(4, 1)).item() == pytest.approx(6)
    assert effective_prototypes(torch.eye(6)[:3]).item() == pytest.approx(3)
    assert effective_prototypes(torch.rand(1, 6).expand(24, 6)).item() == pytest.approx(1)


def test_collapse_shows_in_the_logs() -> None:
    collapsed = method(prototypes=32)
    for parameter in collapsed.projector.parameters():
        torch.nn.init.zeros_(parameter)
    logs = collapsed(views()).logs
    assert logs["relative_loss"].item() == pytest.approx(1)
    assert logs["prototypes_used"].item() == pytest.approx(1)
    assert method(prototypes=32)(views()).logs["prototypes_used"] > 3


def test_prototypes_stay_unit_vectors() -> None:
    trained = method()
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0, weight_decay=0.1)
    before = trained.prototypes.weight.detach().clone()
    for step in range(3):
        torch.testing.assert_close(trained.prototypes.weight.norm(dim=1), torch.ones(6))
        step_once(trained, optimizer, step, 3)
    torch.testing.assert_close(trained.prototypes.weight.norm(dim=1), torch.ones(6))
    assert (trained.prototypes.weight - before).abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_prototypes_are_frozen_for_their_share_of_the_run_and_no_longer(optimizer: type) -> None:
    trained = method(frozen_share=0.5)
    made = optimizer(trained.parameters(), lr=0.1, weight_decay=0.1)
    states = [trained.prototypes.weight.detach().clone()]
    for step in range(4):
        step_once(trained, made, step, 4)
        states.append(trained.prototypes.weight.detach().clone())
    for step in range(1, 5):
        moved = (states[step] - states[step - 1]).abs().max()
        # Renormalizing what is normalized may still change a last bit.
        assert moved < 1e-6 if step <= 2 else moved > 1e-4, step


def test_the_queue_holds_the_newest_projections_of_each_view() -> None:
    queued = method(queue_size=20, queue_start=1.0)
    seen: list[Tensor] = []
    queued.projector.register_forward_hook(lambda module, inputs, output: seen.insert(0, output.detach()))
    for step, size in enumerate((8, 8, 3, 2, 30)):
        queued(views(step, size))
        for view in (0, 1):
            newest = torch.cat([F.normalize(z, dim=1).chunk(2)[view] for z in seen])[:20]
            torch.testing.assert_close(queued.queue[view, : len(newest)], newest)
            assert queued.num_queued == len(newest)
            assert not queued.queue[view, len(newest) :].any()


def test_the_queue_takes_part_from_its_share_of_the_run_and_not_before() -> None:
    plain, queued = method(), method(queue_size=20, queue_start=0.5)
    for step, expected in enumerate((True, False)):
        for one in (plain, queued):
            one(views(step + 10))  # fills the queue
            one.after_step(step / 2)
        assert (plain(views()).loss == queued(views()).loss) == expected


def test_codes_with_a_queue_are_those_of_the_batch_balanced_with_it() -> None:
    queued = method(queue_size=8)
    with torch.no_grad():
        queued(views(1))
        older = queued.queue.clone()
        seen = views()
        z = queued.projector(queued.backbone(torch.cat(seen.images))).chunk(2)
        weight = queued.prototypes.weight
        scores = [prototype_scores(one, weight) for one in z]
        codes = [
            sinkhorn(torch.cat([s, prototype_scores(q, weight)]), 0.05, 3)[:8]
            for s, q in zip(scores, older, strict=True)
        ]
        expected = swapped_prediction(scores[0], scores[1], codes[0], codes[1], 0.1)
        torch.testing.assert_close(queued(seen).loss, expected)


def test_it_trains_alone_and_jointly_and_resumes() -> None:
    check_steps_under_autocast(make, {"relative_loss", "prototypes_used"})
    check_steps_under_autocast(with_queue, {"relative_loss", "prototypes_used"})
    check_resume(make)
    for steps in (1, 2, 3):
        check_resume(with_queue, steps)
    check_features(make)
