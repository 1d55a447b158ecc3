"""``python -m bench.step``: one joint training step, ours against the paper's way and against its own passes done bare.

The paper's way is two views and a plain image made one by one with torchvision on PIL images, in one process, then
contiguous float32. The bare passes are forward and backward of the same images through the same network, nothing
else: no views, no losses beyond a sum, no optimizer. All three see the same batch size and the same ResNet-18 at
32 px, and take turns in one process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from bench.timing import interleaved
from fkt.core.hardware import pick_device, pick_precision, setup_torch
from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.models.backbones import build_backbone
from fkt.models.classifier import Classifier
from fkt.params import Augment, CrossEntropy, Model, SimCLRParams, Training
from fkt.ssl.base import Setting
from fkt.ssl.simclr import SimCLR
from fkt.training.balance import Fixed
from fkt.training.base import Objective, SupervisedLoss
from fkt.training.objectives import Functional
from fkt.training.optim import build_optimizer
from fkt.views.loader import Loader, Views
from fkt.views.pipeline import build_pipeline

STEPS = [
    {"name": "RandomResizedCrop", "scale": [0.2, 1.0], "ratio": [0.75, 1.3333], "p": 1.0},
    {"name": "HorizontalFlip", "p": 0.5},
    {"name": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
    {"name": "ToGray", "p": 0.2},
]
AUGMENT = Augment.model_validate(
    {"engine": "batched", "object_share": 0.0, "good_crops": 1.0, "views": STEPS, "labelled": []}
)
SIMCLR = SimCLRParams(projector_hidden=512, projector_size=128, temperature=0.5, false_negatives="keep")
SGD = Training.model_validate(
    {
        "epochs": None,
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.06,
        "momentum": 0.9,
        "trust_coefficient": 0.001,
        "weight_decay": 0.0005,
        "warmup_fraction": 0.0,
    }
)
CLASSES = 10


def random_split(num_images: int, device: torch.device) -> Split:
    """Return color images of 32 px made of noise; what is timed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_images, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, (num_images,), generator=generator)
    meta = Meta("noise", [str(k) for k in range(CLASSES)], 32, 3, {}, [0.5] * 3, [0.25] * 3)
    return Split("train", meta, torch.arange(num_images), labels.to(device), images.to(device))


def build(stem: str) -> Functional:
    """Return the joint objective on a ResNet-18."""
    model = Model.model_validate({"backbone": "resnet18", "width": 64, "stem": stem, "weights": "none"})
    classifier = Classifier(build_backbone(model, 3), CLASSES)
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="none"), torch.arange(CLASSES), CLASSES)
    method = SimCLR(classifier.backbone, SIMCLR, Setting(1024, 128, CLASSES, 32, 3))
    return Functional(classifier, loss, method, Fixed(1.0), classify_views=False)


def steps_of(objective: Objective, loader: Loader, optimizer: Optimizer) -> Callable[[], object]:
    """Return what takes the next training step of an objective, in the precision that the processor gains from."""
    device = pick_device()
    precision = pick_precision(device)
    step = 0

    def run() -> None:
        nonlocal step
        batch = loader.batch(step)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            loss = objective.loss(batch)["total"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        objective.after_step(min(1.0, step / 100))

    return run


def ours(split: Split, batch_size: int, stem: str) -> Callable[[], object]:
    """Return our step: the loader, the objective, the optimizer, in the precision that the processor gains from."""
    objective = build(stem).to(pick_device()).train()
    optimizer = build_optimizer(objective, SGD)
    views, images = (build_pipeline(steps, "batched", split.meta) for steps in (AUGMENT.views, []))
    labelled = torch.arange(len(split))
    loader = Loader(
        split, labelled, ssl_labelled=labelled, num_views=2, views=views, images=images, batch_size=batch_size, seed=0
    )
    return steps_of(objective, loader, optimizer)


def papers(split: Split, batch_size: int, stem: str) -> Callable[[], object]:
    """Return the paper's step: torchvision on PIL images one by one, contiguous float32."""
    from PIL import Image
    from torchvision import transforms as T

    device = pick_device()
    jitter = T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    augment = T.Compose(
        [T.RandomResizedCrop(32, (0.2, 1.0)), T.RandomHorizontalFlip(), jitter, T.RandomGrayscale(0.2), T.ToTensor()]
    )
    standard = T.Normalize(split.meta.mean, split.meta.std)
    objective = build(stem).to(device, memory_format=torch.contiguous_format).train()
    optimizer = build_optimizer(objective, SGD)
    labels = split.labels[:batch_size]
    pixels = split.images(torch.arange(batch_size)).permute(0, 2, 3, 1).cpu().numpy()

    def run() -> None:
        pictures = [Image.fromarray(array) for array in pixels]
        first, second = (torch.stack([standard(augment(picture)) for picture in pictures]) for _ in range(2))
        plain = torch.stack([standard(T.functional.to_tensor(picture)) for picture in pictures])
        output = objective.method(Views((first.to(device), second.to(device)), labels, labels, ()))
        logits = objective.classifier(plain.to(device))
        loss = F.cross_entropy(logits, labels) + output.loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def bare(batch_size: int, stem: str) -> Callable[[], object]:
    """Return the backbone's passes alone: 2B and B images forward and backward in our layout and precision."""
    device = pick_device()
    precision = pick_precision(device)
    backbone = build(stem).model.backbone.to(device).train()

    def noise(count: int) -> Tensor:
        return torch.randn(count, 3, 32, 32, device=device).to(memory_format=torch.channels_last)

    views, images = noise(2 * batch_size), noise(batch_size)

    def run() -> None:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            total = backbone(views).float().sum() + backbone(images).float().sum()
        total.backward()
        for parameter in backbone.parameters():
            parameter.grad = None

    return run


def main() -> None:
    """Print images per second and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--stem", choices=["small", "imagenet"], default="small")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    setup_torch()
    split = random_split(max(1024, 2 * arguments.batch_size), pick_device())
    size, stem = arguments.batch_size, arguments.stem
    ways = {"ours": ours(split, size, stem), "paper": papers(split, size, stem), "bare": bare(size, stem)}
    seconds = interleaved(ways, arguments.rounds)
    precision = str(pick_precision(pick_device())).removeprefix("torch.")
    print(f"joint step, ResNet-18 ({stem} stem), 32 px, batch {size}, {torch.get_num_threads()} threads, {precision}")
    for name, value in seconds.items():
        print(f"  {name:6} {value:8.3f} s/step {size / value:9.1f} source images/s {3 * size / value:9.1f} passes/s")
    print(f"  ours / paper's way: {seconds['paper'] / seconds['ours']:.2f} times (wanted: at least 1.3)")
    print(f"  ours / bare passes: {seconds['bare'] / seconds['ours']:.2f} (wanted: at least 0.85)")


if __name__ == "__main__":
    main()
