"""Some steps of every method, objective and balance, on batches that one process or several share.

Run by the launcher with a file, a type and a number of steps, the first process writes what it finds into the file.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fkt.core import ranks
from fkt.data.keys import seeded
from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import load_params
from fkt.training.balance import Balance
from fkt.training.base import Objective
from fkt.training.loop import take_step
from fkt.training.objectives import Distill, Frozen, Functional, Pretrain, Representational, Supervised
from fkt.training.resume import State
from fkt.views.loader import Batch, Loader
from fkt.views.object_crops import ObjectCrops
from fkt.views.pipeline import build_pipeline
from tests.conftest import ROOT
from tests.ssl.harness import MODEL, SETTING, SMALL, build, optimizer_of, supervised_loss
from tests.ssl.test_methods import CASES as METHODS
from tests.ssl.test_methods import IDS
from tests.training.joint_runs import BALANCES

META = Meta("noise", ["a", "b", "c"], 16, 1, {"train": [14, 13, 13]}, [0.5], [0.3])
Built = tuple[Objective, Loader]
Weighting = Callable[[Classifier], Balance]


def split() -> Split:
    pixels = torch.randint(0, 256, (40, 16, 16, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Split("train", META, torch.arange(40), torch.arange(40) % 3, pixels)


def loader(num_views: int, *, images: bool, engine: Any = "batched", crops: bool = False, parts: int = 1) -> Loader:
    """Batches of 8: one of their views' labels is known to the method in three, in two to cross-entropy."""
    masks = torch.rand(40, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.1
    chosen = ObjectCrops(masks.numpy().astype("uint8"), 0.5, torch.ones(40, dtype=torch.bool)) if crops else None
    steps = load_params(ROOT / "params.yaml").augment.views
    views = build_pipeline(steps, engine, META, chosen)
    known = torch.arange(0, 40, 3)
    return Loader(
        split(), torch.arange(20), ssl_labelled=known, num_views=num_views, views=views,
        images=views if images else None, batch_size=8, parts=parts, seed=0,
    )  # fmt: skip


def narrow() -> ResNet:
    with seeded(0, "backbone"):
        return build_backbone(MODEL.model_copy(update={"width": 4}), 1)


def classifier() -> Classifier:
    model = narrow()
    with seeded(0, "head"):
        return Classifier(model, 3)


def pretraining(name: str, changes: dict[str, Any], **options: Any) -> Built:
    method = build(name, SETTING, body=narrow(), **changes)
    return Pretrain(method), loader(method.num_views, images=False, **options)


def joint(name: str, balance: Weighting, *, classify_views: bool = False, checks: int = 0, parts: int = 1) -> Built:
    model = classifier()
    method = build(name, SETTING, body=model.backbone)
    objective = Functional(
        model, supervised_loss(), method, balance(model), classify_views=classify_views, gradient_checks=checks
    )
    return objective, loader(method.num_views, images=not classify_views, parts=parts)


def labelled(kind: type[Supervised], **options: Any) -> Built:
    start = [] if kind is Supervised else [narrow()]
    return kind(classifier(), supervised_loss(), *start), loader(0, images=True, **options)


CASES: dict[str, Callable[[], Built]] = {
    **{f"pretrain {name}": partial(pretraining, *case) for name, case in zip(IDS, METHODS, strict=True)},
    **{f"joint {name}": partial(joint, name, BALANCES["fixed"]) for name in SMALL},
    **{
        f"joint {name} on its views": partial(joint, name, BALANCES["fixed"], classify_views=True)
        for name in ("simclr", "tribyol", "rotation", "jigsaw_pp")
    },
    **{f"joint simclr {name}": partial(joint, "simclr", make, checks=5) for name, make in BALANCES.items()},
    **{kind.__name__: partial(labelled, kind) for kind in (Supervised, Representational, Frozen)},
    "Distill": lambda: (Distill(classifier(), torch.arange(40) % 3), loader(1, images=False)),
    "albumentations": partial(pretraining, "simclr", {}, engine="albumentations"),
    "object crops": partial(pretraining, "simclr", {}, crops=True),
    "moco in parts": partial(pretraining, "moco", {}, parts=2),
    "joint simclr in parts": partial(joint, "simclr", BALANCES["fixed"], parts=2),
}


def of_type(batch: Batch, dtype: torch.dtype) -> Batch:
    views = batch.views and replace(batch.views, images=tuple(one.to(dtype) for one in batch.views.images))
    return replace(batch, views=views, images=None if batch.images is None else batch.images.to(dtype))


def trace(case: str, dtype: str, steps: int) -> dict[str, Tensor]:
    """The gradients of the first step; after all steps the sums of all logs, and the state of the objective.

    In float32, ten steps of such small batches multiply a rounding error by a million.
    """
    objective, source = CASES[case]()
    objective.to(getattr(torch, dtype)).train()
    optimizer, found = optimizer_of(objective, lr=0.02), {}

    def keep(*_: object) -> None:
        for name, parameter in objective.named_parameters():
            if parameter.grad is not None:
                found.setdefault(f"gradient {name}", parameter.grad.clone())

    handle = optimizer.register_step_pre_hook(keep)
    state = State()
    batches = (of_type(batch, getattr(torch, dtype)) for batch in source.steps(0, steps))
    while state.step < steps:
        objective.before_step(state.step, steps)
        take_step(objective, optimizer, batches, source.parts, 0.02, torch.float32, state)
        objective.after_step(state.step / steps)
        if state.step == 1:
            handle.remove()
            found["loss"] = state.sums["total"].clone()
    weights = {f"after {name}": value for name, value in objective.state_dict().items()}
    return found | {f"sum {name}": value for name, value in state.sums.items()} | weights


if __name__ == "__main__":
    torch.set_num_threads(1)
    ranks.connect()
    traces = {case: trace(case, sys.argv[2], int(sys.argv[3])) for case in CASES}
    if ranks.is_first():
        torch.save(traces, sys.argv[1])
