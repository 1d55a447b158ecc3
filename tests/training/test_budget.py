"""Every arm gets the same number of image passes."""

from typing import Any

import pytest

from fkt.core.errors import ParamsError
from fkt.params import Budget, Training
from fkt.training.budget import Length, distill_length, is_due, labelled_length, ssl_length
from tests.training.test_optim import section

BUDGET = Budget(passes=30.0, pretrain_share=2 / 3, checks=20)


def on_labels(
    training: Training, budget: Budget = BUDGET, *, num_images: int = 1000, num_labelled: int = 20, **more: Any
) -> Length:
    return labelled_length(
        training, budget, section="finetune", num_images=num_images, num_labelled=num_labelled, **more
    )


def test_all_arms_spend_the_same_passes_to_within_a_step() -> None:
    batch = section(batch_size=128)
    num_images = 1150
    joint = ssl_length(batch, BUDGET, num_images=num_images, passes_per_image=3, passes=30.0)
    pretrain = ssl_length(batch, BUDGET, num_images=num_images, passes_per_image=2, passes=20.0)
    finetune = on_labels(batch, num_images=num_images, spent_passes=pretrain.image_passes)
    frozen = on_labels(batch, num_images=num_images, spent_passes=pretrain.image_passes, frozen=True)
    supervised = on_labels(batch, num_images=num_images)
    teacher = ssl_length(batch, BUDGET, num_images=num_images, passes_per_image=2, passes=20.0 * 0.4)
    student = distill_length(batch, BUDGET, num_images=num_images, spent_passes=teacher.image_passes)
    before_labels = teacher.image_passes + student.image_passes
    distilled = on_labels(batch, num_images=num_images, spent_passes=before_labels)
    assert abs(before_labels - 20 * num_images) <= 128 / 2
    spent = [
        joint.image_passes,
        pretrain.image_passes + finetune.image_passes,
        pretrain.image_passes + frozen.image_passes,
        supervised.image_passes,
        before_labels + distilled.image_passes,
    ]
    assert max(abs(passes - 30 * num_images) for passes in spent) <= 3 * 128 / 2


def test_the_papers_hundred_epochs_are_three_hundred_passes() -> None:
    """methods.md 1.6: 100 joint epochs cost what 100 epochs of pretraining and 100 of fine-tuning do."""
    batch = section(batch_size=100, epochs=100.0)
    null = section(batch_size=100)
    budget = Budget(passes=300.0, pretrain_share=2 / 3, checks=20)
    joint = ssl_length(batch, budget, num_images=1000, passes_per_image=3, passes=300.0)
    pretrain = ssl_length(batch, budget, num_images=1000, passes_per_image=2, passes=200.0)
    assert joint.image_passes == 300 * 1000 and pretrain.image_passes == 200 * 1000
    rest = on_labels(null, budget, num_labelled=1000, spent_passes=pretrain.image_passes)
    assert rest == on_labels(batch, budget, num_labelled=1000)
    assert on_labels(null, budget, num_labelled=1000).steps == 3 * rest.steps


def test_epochs_count_labelled_images_for_a_supervised_run_and_all_images_for_an_ssl_run() -> None:
    training: Training = section(batch_size=10, epochs=4.0)
    assert on_labels(training, num_labelled=50).steps == 4 * 5
    assert distill_length(training, BUDGET, num_images=1005, spent_passes=10**6).steps == 4 * 100
    assert ssl_length(training, BUDGET, num_images=1005, passes_per_image=2, passes=1.0).steps == 4 * 100


def test_pretraining_that_spends_everything_is_an_error() -> None:
    with pytest.raises(ParamsError, match=r"budget.passes: 30.0 \(30000 image passes\) leaves nothing for finetune"):
        on_labels(section(), spent_passes=30_000)
    with pytest.raises(ParamsError, match=r"leaves nothing for distill after the teacher has spent 20.0;"):
        distill_length(section(), BUDGET, num_images=1000, spent_passes=20_000)


@pytest.mark.parametrize(("steps", "checks"), [(100, 20), (101, 20), (7, 20), (1, 20), (50, 1)])
def test_checks_are_even_and_end_with_the_run(steps: int, checks: int) -> None:
    plan = Length(steps=steps, passes_per_step=1, num_images=10, checks=checks)
    looked = [step for step in range(1, steps + 1) if plan.is_check(step)]
    assert looked[-1] == steps and len(looked) == min(steps, checks)
    gaps = [b - a for a, b in zip([0, *looked], looked, strict=False)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("steps", "times"), [(7, 3), (100, 20), (5, 5), (3, 10)])
def test_what_is_done_along_a_run_is_spread_evenly_and_done_at_its_end(steps: int, times: int) -> None:
    due = [step for step in range(1, steps + 1) if is_due(step, steps, times)]
    assert len(due) == min(steps, times) and due[-1] == steps
    gaps = {after - before for before, after in zip([0, *due], due, strict=False)}
    assert max(gaps) - min(gaps) <= 1
    assert not any(is_due(step, steps, 0) for step in range(1, steps + 1))


def test_a_share_of_a_pass_is_counted_and_not_rounded_up() -> None:
    batch = section(batch_size=100)
    cheap = ssl_length(batch, BUDGET, num_images=1000, passes_per_image=1.25, passes=20.0)
    assert (cheap.passes_per_step, cheap.steps) == (125, 160)
