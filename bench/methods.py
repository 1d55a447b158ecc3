"""``python -m bench.methods``: a pretraining step of each SSL method, and the step's backbone passes alone.

A step includes the views, the method with its heads, targets and queues, and the optimizer. The passes alone are the
same batches through the same backbone: forward and backward, or forward only for momentum targets. Both take turns.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.harness import bare_passes, interleaved, noise_session, training_step
from fkt.models.backbones import ResNet
from fkt.ssl.base import Method
from fkt.ssl.methods import METHODS, fresh_method
from fkt.training.loaders import views_loader
from fkt.training.objectives import Pretrain


def passes_of(method: Method, step: Callable[[], object]) -> list[tuple[torch.Size, bool]]:
    """Return the batches that go through the method's backbones in a step: shape, and whether with a gradient."""
    seen: list[tuple[torch.Size, bool]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append((inputs[0].shape, torch.is_grad_enabled()))

    handles = [net.register_forward_pre_hook(record) for net in method.modules() if isinstance(net, ResNet)]
    step()
    for handle in handles:
        handle.remove()
    return seen


def main() -> None:
    """Print, for each method, seconds per step, image passes, and the ratio to the passes alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=sorted(METHODS), help="default: all")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--backbone", choices=["resnet18", "resnet50"], default="resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    size = arguments.batch_size
    print(f"pretraining step, {arguments.backbone}, 32 px, batch {size}")
    print("method            s/step  bare s/step  image passes  speed relative to bare (target: at least 0.85)")
    for name in arguments.methods:
        labels = 1.0 if name == "supcon" else 0.0
        changes = {"model.backbone": arguments.backbone, "ssl.method": name, "ssl.label_fraction": labels}
        session = noise_session("pretrained", size, changes)
        method = fresh_method(session.params.ssl, session.fresh_backbone(), session.train_split, size, 0)
        loader = views_loader(session, method.num_views, ssl_labelled=session.ssl_labelled)
        step = training_step(session, Pretrain(method), loader)
        bare = bare_passes(session, passes_of(method, step))
        seconds = interleaved({"ours": step, "bare": bare}, arguments.rounds)
        passes = f"{method.online_passes:.3g} + {method.target_passes}"
        ratio = seconds["bare"] / seconds["ours"]
        print(f"{name:15} {seconds['ours']:8.3f} {seconds['bare']:12.3f} {passes:>13} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
