"""A batch in parts, without batch normalization's dependence on a part: what is that of the batch, and what is not."""

import pytest
import torch
from torch import Tensor

from fkt.params import CrossEntropy
from fkt.ssl.losses.contrastive import nt_xent
from fkt.training.balance import Fixed
from fkt.training.base import Objective, SupervisedLoss
from fkt.training.loop import take_step
from fkt.training.objectives import Functional, Pretrain, Supervised
from fkt.training.resume import State
from fkt.views.loader import Loader
from tests.training.ranks_cases import joint, labelled, of_type, pretraining

WEIGHTED = CrossEntropy(label_smoothing=0.2, class_weights="balanced")


def step(objective: Objective, loader: Loader) -> dict[str, Tensor]:
    """Return the gradients of a step, the means that it logs, and the state after it."""
    gradients: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        gradients.update({name: one.grad.clone() for name, one in objective.named_parameters() if one.grad is not None})

    objective.double().eval()
    for loss in (one for one in objective.modules() if isinstance(one, SupervisedLoss)):
        loss.float()  # it computes in float32 in any case
    optimizer, state = torch.optim.SGD(objective.parameters(), lr=0.1), State()
    optimizer.register_step_pre_hook(keep)
    batches = (of_type(batch, torch.float64) for batch in loader.steps(0, 1))
    take_step(objective, optimizer, batches, loader.parts, 0.1, torch.float32, state)
    objective.after_step(1.0)
    means = {f"mean {name}": value / state.counted[name] for name, value in state.sums.items()}
    return gradients | means | {f"after {name}": value for name, value in objective.state_dict().items()}


def on_known_labels(parts: int) -> tuple[Functional, Loader]:
    """Cross-entropy on views, of which a half have a label, with a weight for each class."""
    objective, loader = joint("simclr", lambda _: Fixed(0.0), classify_views=True, parts=parts)
    objective.cross_entropy = SupervisedLoss(WEIGHTED, torch.tensor([0, 0, 0, 1, 1, 2]), 3)
    assert isinstance(objective, Functional)
    return objective, loader


@pytest.mark.parametrize(
    "make",
    [
        lambda parts: labelled(Supervised, parts=parts),
        on_known_labels,
        lambda parts: pretraining("byol", {}, parts=parts),
    ],
    ids=["supervised", "known labels", "byol"],
)
def test_a_mean_over_images_is_that_of_the_batch(make) -> None:  # type: ignore[no-untyped-def]
    whole, parts = step(*make(1)), step(*make(4))
    for name, expected in whole.items():
        if not name.startswith("mean ") or name in ("mean ce", "mean total"):
            torch.testing.assert_close(parts[name], expected, rtol=1e-5, atol=1e-7, msg=name)


def test_a_contrastive_loss_has_the_negatives_of_a_part() -> None:
    objective, loader = pretraining("simclr", {}, parts=2)
    assert isinstance(objective, Pretrain)
    objective.double().eval()
    losses = []
    for batch in loader.steps(0, 1):
        views = of_type(batch, torch.float64).views
        assert views is not None
        a, b = (objective.method.projector(objective.model(view)) for view in views.images)
        losses.append(nt_xent(a, b, 0.5))
    torch.testing.assert_close(step(objective, loader)["mean total"], torch.stack(losses).mean())


@pytest.mark.parametrize(("name", "kept"), [("moco", "queue"), ("pirl_rotation", "bank.rows")])
def test_queue_and_bank_get_the_embeddings_of_all_parts(name: str, kept: str) -> None:
    whole, parts = step(*pretraining(name, {})), step(*pretraining(name, {}, parts=4))
    torch.testing.assert_close(parts[f"after method.{kept}"], whole[f"after method.{kept}"])
