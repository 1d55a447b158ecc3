"""``python -m bench.methods``: a pretraining step of each SSL method against its own backbone passes done bare.

A step is all that a run does: the views, the method with its heads, targets and queues, the optimizer. The bare passes
are the same images through the same network, as they were seen to go through it: forward and backward where the method
takes a gradient, forward alone where it does not (momentum targets); a sum in place of the loss. Both take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.step import AUGMENT, CLASSES, SGD, random_split, steps_of
from bench.timing import interleaved
from fkt.core.hardware import pick_device, pick_precision, setup_torch
from fkt.data.keys import seeded
from fkt.data.store import Split
from fkt.models.backbones import ResNet, build_backbone
from fkt.params import SSL, Model, load_params
from fkt.ssl.base import Method, setting_of
from fkt.ssl.methods import METHODS, build_method
from fkt.training.objectives import Pretrain
from fkt.training.optim import build_optimizer
from fkt.views.loader import Loader
from fkt.views.pipeline import build_pipeline

Pass = tuple[torch.Size, bool]
"""The shape of a batch that went through a backbone, and whether with a gradient."""


def made(ssl: SSL, split: Split, batch_size: int, backbone: str) -> Method:
    """Return a method as the pretrain stage makes it."""
    model = Model.model_validate({"backbone": backbone, "width": 64, "stem": "small", "weights": "none"})
    with seeded(0, "method"):
        return build_method(ssl, build_backbone(model, 3), setting_of(split, batch_size)).to(pick_device()).train()


def step_of(method: Method, split: Split, batch_size: int) -> Callable[[], object]:
    """Return one pretraining step."""
    objective = Pretrain(method)
    optimizer = build_optimizer(objective, SGD)
    views = build_pipeline(AUGMENT.views, "batched", split.meta)
    labelled = torch.arange(len(split))
    loader = Loader(
        split,
        labelled,
        ssl_labelled=labelled,
        num_views=method.num_views,
        views=views,
        images=None,
        batch_size=batch_size,
        seed=0,
    )
    return steps_of(objective, loader, optimizer)


def passes_of(method: Method, run: Callable[[], object]) -> list[Pass]:
    """Return what goes through the method's backbones, its targets' included, in one step."""
    seen: list[Pass] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append((inputs[0].shape, torch.is_grad_enabled()))

    handles = [net.register_forward_pre_hook(record) for net in method.modules() if isinstance(net, ResNet)]
    run()
    for handle in handles:
        handle.remove()
    return seen


def bare(backbone: ResNet, passes: list[Pass]) -> Callable[[], object]:
    """Return the passes alone, in our layout and precision."""
    device = pick_device()
    precision = pick_precision(device)
    batches = [
        (torch.randn(shape, device=device).to(memory_format=torch.channels_last), grad) for shape, grad in passes
    ]

    def run() -> None:
        total = torch.zeros((), device=device)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            for batch, grad in batches:
                with torch.set_grad_enabled(grad):
                    output = backbone(batch).float().sum()
                total = total + output
        total.backward()
        for parameter in backbone.parameters():
            parameter.grad = None

    return run


def main() -> None:
    """Print a line for each method: seconds a step, image passes, and the share of the bare passes' throughput."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=sorted(METHODS), help="by default all")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--backbone", choices=["resnet18", "resnet50"], default="resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    setup_torch()
    split = random_split(1024, pick_device())
    shipped = load_params().ssl.model_dump()
    print(f"pretraining step, {arguments.backbone}, 32 px, batch {arguments.batch_size}, {CLASSES} classes")
    print("method            s/step  bare s/step  image passes  of bare throughput (wanted: at least 0.85)")
    for name in arguments.methods:
        ssl = SSL.model_validate(shipped | {"method": name, "label_fraction": 1.0 if name == "supcon" else 0.0})
        method = made(ssl, split, arguments.batch_size, arguments.backbone)
        run = step_of(method, split, arguments.batch_size)
        ways = {"ours": run, "bare": bare(made(ssl, split, 64, arguments.backbone).backbone, passes_of(method, run))}
        seconds = interleaved(ways, arguments.rounds)
        passes = f"{method.online_passes:.3g} + {method.target_passes}"
        share = seconds["bare"] / seconds["ours"]
        print(f"{name:15} {seconds['ours']:8.3f} {seconds['bare']:12.3f} {passes:>13} {share:7.2f}", flush=True)


if __name__ == "__main__":
    main()
