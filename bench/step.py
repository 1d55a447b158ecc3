"""``python -m bench.step``: a joint training step, the paper's way, and the step's backbone passes alone.

The paper's way makes two views and a plain image with torchvision from PIL images, one by one, in one process, and
trains in contiguous float32. The backbone passes alone are forward and backward passes of the same number of images,
without views, losses and optimizer. All three use the same batch size and the same ResNet-18, and take turns.
"""

import argparse
from collections.abc import Callable

import torch
from torch.nn import functional as F

from bench.harness import bare_passes, interleaved, noise_session, training_step
from bench.views import torchvision_transforms
from fkt.ssl.methods import fresh_method
from fkt.training.balance import Fixed
from fkt.training.loaders import pipeline, views_loader
from fkt.training.objectives import Functional
from fkt.training.optim import build_optimizer
from fkt.training.session import Session
from fkt.views.loader import Views


def joint(session: Session) -> Functional:
    """Return the joint objective."""
    classifier, batch_size = session.fresh_classifier(), session.training.batch_size
    method = fresh_method(session.params.ssl, classifier.backbone, session.train_split, batch_size, 0)
    return Functional(classifier, session.cross_entropy(), method, Fixed(1.0), classify_views=False)


def ours(session: Session) -> Callable[[], object]:
    """Return a training step of this project."""
    known = session.labelled
    loader = views_loader(session, 2, ssl_labelled=known, labelled=known, images=pipeline(session, []))
    return training_step(session, joint(session), loader)


def papers(session: Session) -> Callable[[], object]:
    """Return a training step of the paper: torchvision on PIL images, one by one, and contiguous float32."""
    from PIL import Image

    split, device, batch_size = session.train_split, session.device, session.training.batch_size
    augment, plain = torchvision_transforms(32, 0.2), torchvision_transforms()
    objective = joint(session).to(device, memory_format=torch.contiguous_format).train()
    optimizer = build_optimizer(objective, session.training)
    labels = split.labels[:batch_size]
    pixels = split.images(torch.arange(batch_size)).permute(0, 2, 3, 1).cpu().numpy()

    def run() -> None:
        pictures = [Image.fromarray(array) for array in pixels]
        first, second, images = (
            torch.stack([transform(picture) for picture in pictures]).to(device)
            for transform in (augment, augment, plain)
        )
        output = objective.method(Views((first, second), labels, labels, ()))
        loss = F.cross_entropy(objective.classifier(images), labels) + output.loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def main() -> None:
    """Print images per second and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--stem", choices=["small", "imagenet"], default="small")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    size, stem = arguments.batch_size, arguments.stem
    simclr = {"ssl.method": "simclr", "ssl.simclr.projector_hidden": 512, "ssl.simclr.projector_size": 128}
    session = noise_session("functional", size, {"model.stem": stem, **simclr})
    bare = bare_passes(session, [((count, 3, 32, 32), True) for count in (2 * size, size)])
    seconds = interleaved({"ours": ours(session), "paper": papers(session), "bare": bare}, arguments.rounds)
    precision = str(session.precision).removeprefix("torch.")
    print(f"joint step, ResNet-18 ({stem} stem), 32 px, batch {size}, {torch.get_num_threads()} threads, {precision}")
    for name, value in seconds.items():
        print(f"  {name:6} {value:8.3f} s/step {size / value:9.1f} source images/s {3 * size / value:9.1f} passes/s")
    print(f"  speed relative to the paper's way: {seconds['paper'] / seconds['ours']:.2f} (target: at least 1.3)")
    print(f"  speed relative to bare passes: {seconds['bare'] / seconds['ours']:.2f} (target: at least 0.85)")


if __name__ == "__main__":
    main()
