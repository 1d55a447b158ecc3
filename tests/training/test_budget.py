"""Every arm spends the same amount of the budget's unit."""

from typing import Any

import pytest

from fkt.core.errors import ParamsError
from fkt.params import Budget, Training
from fkt.training.budget import Length, distill_length, is_due, labelled_length, labelling_cost, ssl_length
from tests.training.test_optim import section

BUDGET = Budget(unit="passes", passes=30.0, epochs=None, pretrain_share=2 / 3, checks=20)


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
    budget = BUDGET.model_copy(update={"passes": 300.0})
    joint = ssl_length(batch, budget, num_images=1000, passes_per_image=3, passes=300.0)
    pretrain = ssl_length(batch, budget, num_images=1000, passes_per_image=2, passes=200.0)
    assert joint.image_passes == 300 * 1000 and pretrain.image_passes == 200 * 1000
    rest = on_labels(null, budget, num_labelled=1000, spent_passes=pretrain.image_passes)
    assert rest.steps == on_labels(batch, budget, num_labelled=1000).steps
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


N, M, B = 1200, 60, 40
"""Training images, labelled ones, batch size: 30 batches of all, 1.5 of the labelled."""


def lengths(
    budget: Budget, training: Training, *, views: float = 2, targets: int = 0, teacher: float = 1.0
) -> dict[str, Length]:
    """Every training run of all arms, as their stages compute them. teacher: FLOPs relative to model.backbone."""
    ssl = {"num_images": N, "target_passes": targets}
    share = budget.passes * budget.pretrain_share
    labelled = {"num_images": N, "num_labelled": M}
    pretrain = ssl_length(training, budget, passes_per_image=views, passes=share, **ssl)
    large = ssl_length(training, budget, passes_per_image=views, passes=share / 2, relative_flops=teacher, **ssl)
    spent = large.spent + labelling_cost(budget, N, teacher)
    student = distill_length(training, budget, num_images=N, spent_passes=spent)
    return {
        "supervised": on_labels(training, budget, **labelled),
        "pretrain": pretrain,
        "finetune": on_labels(training, budget, spent_passes=pretrain.spent, **labelled),
        "frozen": on_labels(training, budget, spent_passes=pretrain.spent, frozen=True, **labelled),
        "teacher": large,
        "student": student,
        "distilled": on_labels(training, budget, spent_passes=spent + student.spent, **labelled),
        "joint": ssl_length(
            training, budget, passes_per_image=views + 1, passes=budget.passes, sees_labels=True, **ssl
        ),
    }


def steps(found: dict[str, Length]) -> dict[str, int]:
    return {name: length.steps for name, length in found.items()}


def test_units_in_closed_form_without_targets() -> None:
    """30 passes of 1200 images in batches of 40: 900 supervised steps."""
    training: Training = section(batch_size=B)
    budget = BUDGET.model_copy
    plain = {"supervised": 900, "pretrain": 300, "finetune": 300, "frozen": 300}
    plain |= {"teacher": 150, "student": 300, "distilled": 300, "joint": 300}
    assert steps(lengths(BUDGET, training)) == plain
    flops = steps(lengths(budget(update={"unit": "flops"}), training, teacher=1.0))
    assert flops == plain | {"frozen": 900, "student": 290}, "a forward pass is a third, labelling 10 steps"
    labelled = dict.fromkeys(("supervised", "finetune", "frozen", "distilled", "joint"), 900)
    assert steps(lengths(budget(update={"unit": "labelled_steps"}), training, teacher=3.0)) == plain | labelled
    epochs = dict.fromkeys(plain, 200 * 3 // 2) | dict.fromkeys(("pretrain", "teacher", "student", "joint"), 6000)
    found = lengths(budget(update={"unit": "epochs", "epochs": 200.0}), training, teacher=3.0)
    assert steps(found) == epochs and {length.epochs for length in found.values()} == {200.0}


@pytest.mark.parametrize(("views", "targets", "teacher"), [(2, 0, 1.0), (2, 2, 2.25), (3, 4, 4.0), (1.25, 0, 2.0)])
def test_under_flops_every_arm_has_the_same_flops_to_within_a_step(views: float, targets: int, teacher: float) -> None:
    """Counted from what the runs do, in units of one forward pass of model.backbone. views: tiles are a fraction."""
    budget = BUDGET.model_copy(update={"unit": "flops", "passes": 90.0})
    found = lengths(budget, section(batch_size=B), views=views, targets=targets, teacher=teacher)

    def flops(name: str) -> float:
        length = found[name]
        size, each = (teacher if name == "teacher" else 1.0), (1 if length.frozen else 3)
        return size * length.steps * (each * length.passes_per_step + length.target_passes_per_step)

    arms = {
        "supervised": ["supervised"],
        "representational": ["pretrain", "finetune"],
        "frozen": ["pretrain", "frozen"],
        "distilled": ["teacher", "student", "distilled"],
        "functional": ["joint"],
    }
    total = {arm: sum(map(flops, parts)) for arm, parts in arms.items()}
    total["distilled"] += teacher * N  # the teacher labels all images
    step = (3 * (views + 1) + targets) * B
    assert all(abs(spent - 3 * 90 * N) <= step / 2 + 1e-6 for spent in total.values()), total
    if targets:
        nominal = lengths(BUDGET, section(batch_size=B), views=views, targets=targets)["pretrain"]
        assert nominal.steps * 3 > found["pretrain"].steps, "targets cost something"


def test_the_nominal_passes_of_byol_and_tribyol_cost_more_flops() -> None:
    """Per nominal pass 1.33 for BYOL (2 views, 2 target passes) and 1.44 for TriBYOL (3 views, 4 target passes)."""
    budget = BUDGET.model_copy(update={"unit": "flops"})
    for views, targets, ratio in ((2, 2, 4 / 3), (3, 4, 13 / 9)):
        length = lengths(budget, section(batch_size=B), views=views, targets=targets)["pretrain"]
        assert length.spent_per_step == pytest.approx(ratio * length.passes_per_step)


def test_under_epochs_no_remainder_of_an_epoch_is_lost() -> None:
    """1150 images make 17 full batches of 64: by the loader's epochs the joint run would see 5 % fewer labels."""
    budget = BUDGET.model_copy(update={"unit": "epochs", "epochs": 32.0})
    training: Training = section(batch_size=64)
    joint = ssl_length(training, budget, num_images=1150, passes_per_image=3, passes=1.0, sees_labels=True)
    assert joint.steps * 64 == 32 * 1150
    assert on_labels(training, budget, num_images=1150, num_labelled=1150).steps == joint.steps


def test_a_length_tells_why_it_is_what_it_is() -> None:
    for unit in ("passes", "flops", "labelled_steps", "epochs"):
        budget = BUDGET.model_copy(update={"unit": unit, "epochs": 5.0 if unit == "epochs" else None})
        assert {length.reason for length in lengths(budget, section(batch_size=B)).values()} == {unit}
        own = lengths(budget, section(batch_size=B, epochs=3.0))
        assert {length.reason for length in own.values()} == {"own_epochs"}
        assert own["joint"].steps == 3 * 30 and own["supervised"].steps == round(3 * 1.5)


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
