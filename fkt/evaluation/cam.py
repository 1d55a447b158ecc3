"""Activation maps: where in an image the evidence for a class lies, or, without classes, where the features do.

Knows models and tensors; which images are drawn, and how they are shown, is decided elsewhere.

Every map is taken from the feature map A (B, D, h, w) that one layer of the backbone puts out. Class maps are the
positive evidence alone (ReLU), divided by its maximum in each image, so 0 means no evidence and 1 the most in this
image; a map without any positive evidence is zero everywhere. Maps are then resized bilinearly to the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier

LAYERS = ("layer1", "layer2", "layer3", "layer4")
"""The layers of a backbone that maps are taken from, first to last."""


def cam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """CAM (arXiv:1512.04150, Eq. 2): the sum of A_k weighted by the head's weight from k to the class.

    Exact for global average pooling and a linear head: before ReLU and resizing the map's mean is the class's
    logit without its bias. The layer must therefore be the last one.

    images: (B, C, H, W) float, normalized; target: (B,) int64 classes. Returns (B, H, W) float32 in [0, 1].
    Raises ValueError where the layer's channels are not the head's inputs, or the model is in training mode.
    """
    with torch.no_grad(), _tapped(model, layer) as tap:
        model(images)
    activation, weights = tap[0], model.head.weight[target]  # (B, D, h, w), (B, D)
    if activation.shape[1] != weights.shape[1]:
        raise ValueError(
            f"CAM needs the layer that feeds the head: this one has {activation.shape[1]} channels, "
            f"the head takes {weights.shape[1]}"
        )
    evidence = torch.einsum("bdhw,bd->bhw", activation, weights.detach())
    return _finish(evidence.relu(), images)


def gradcam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """Grad-CAM (arXiv:1610.02391, Eqs. 1-2): A_k weighted by the mean gradient of the class's logit over positions.

    On the last layer before pooling and a linear head it is CAM. Arguments, result and errors as in ``cam``, for
    any layer.
    """
    activation, gradient = _gradient(model, images, target, layer)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return _finish((weights * activation).sum(dim=1).relu(), images)


def layercam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """LayerCAM (Jiang et al., IEEE TIP 30, 2021): A_k weighted, position by position, by its positive gradient.

    It stays faithful at earlier, finer layers, where one weight for a whole channel is not enough. Arguments,
    result and errors as in ``cam``, for any layer.
    """
    activation, gradient = _gradient(model, images, target, layer)
    return _finish((gradient.relu() * activation).sum(dim=1).relu(), images)


def eigencam(backbone: ResNet, images: Tensor, layer: nn.Module) -> Tensor:
    """Eigen-CAM (arXiv:2008.00299): the first principal component of each image's own feature map; needs no class.

    As in the paper the features are not centered: A (D, h * w) = U S V', and the map is the first row of S V', with
    the sign that makes its sum positive. It has no zero of its own (after a ReLU it is positive everywhere), so its
    smallest value is moved to 0 before it is divided by its maximum; a constant map is zero everywhere.

    images: (B, C, H, W) float, normalized. Returns (B, H, W) float32 in [0, 1].
    Raises ValueError where the backbone is in training mode.
    """
    with torch.no_grad(), _tapped(backbone, layer) as tap:
        backbone(images)
    batch, _, height, width = tap[0].shape
    _, values, rows = torch.linalg.svd(tap[0].flatten(2).double(), full_matrices=False)
    component = values[:, :1] * rows[:, 0]  # (B, h * w)
    component = component * torch.where(component.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    component = component - component.amin(dim=1, keepdim=True)
    component = component.where(component > 1e-9 * values[:, :1], 0.0)  # rounding errors of a constant map
    return _finish(component.view(batch, height, width), images)


CLASS_MAPS: dict[str, Callable[[Classifier, Tensor, Tensor, nn.Module], Tensor]] = {
    "cam": cam,
    "gradcam": gradcam,
    "layercam": layercam,
}


def map_sides(backbone: ResNet, images: Tensor) -> dict[str, int]:
    """Return the shorter side, in positions, of the feature map of each of LAYERS for images of this size."""
    sides = {}
    for name in LAYERS:
        with torch.no_grad(), _tapped(backbone, backbone.get_submodule(name)) as tap:
            backbone(images[:1])
        sides[name] = min(tap[0].shape[2:])
    return sides


def choose_layer(method: str, sides: Mapping[str, int], min_positions: int) -> tuple[str, str]:
    """Return the method and the name of the layer that a map is drawn with.

    method: auto, or a name of CLASS_MAPS, or eigencam. ``cam`` takes the last layer whatever its size; the others
    the last one whose shorter side has min_positions; auto is cam where the last layer has them, else gradcam: the
    strided shortcuts above an earlier layer reach only every other position, so that LayerCAM, which weighs position
    by position, draws a checkerboard there.
    sides: see map_sides. Raises ParamsError where no layer has min_positions.
    """
    last = list(sides)[-1]
    if method == "cam" or (method == "auto" and sides[last] >= min_positions):
        return "cam", last
    fine = [name for name, side in sides.items() if side >= min_positions]
    if not fine:
        listed = ", ".join(f"{name} has {side}" for name, side in sides.items())
        raise ParamsError(
            f"cam.min_positions: {min_positions} is more than any feature map has on its shorter side ({listed}); "
            f"lower it to {max(sides.values())} or less, or raise prepare.image_size"
        )
    return ("gradcam" if method == "auto" else method), fine[-1]


@contextmanager
def _tapped(model: nn.Module, layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a layer puts out while the block lasts, cut from the graph before it and a leaf of what follows.

    The rest of the network sees a copy of the leaf, so that it may work in place. Nothing stays on the model.
    """
    if model.training:
        raise ValueError("a map of a model in training mode would change its running statistics; call eval() first")
    outputs: list[Tensor] = []

    def tap(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_(torch.is_grad_enabled()))
        return outputs[-1].clone()

    handle = layer.register_forward_hook(tap)
    try:
        yield outputs
    finally:
        handle.remove()


def _gradient(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a layer's output and the gradient of the target's logit to it, both (B, D, h, w) and detached.

    Works whatever the caller's gradient mode and whether or not the parameters are trainable: the graph begins at
    the layer's output, and autograd.grad leaves every ``.grad`` alone.
    """
    with torch.inference_mode(False), torch.enable_grad(), _tapped(model, layer) as tap:
        logits = model(images.clone())  # a clone of an inference tensor is an ordinary one
        score = logits.gather(1, target.clone().view(-1, 1)).sum()  # images are independent in eval mode
        (gradient,) = torch.autograd.grad(score, tap[0])
    return tap[0].detach(), gradient


def _finish(evidence: Tensor, images: Tensor) -> Tensor:
    """Resize non-negative (B, h, w) evidence to the images and divide each map by its maximum."""
    resized = F.interpolate(evidence.unsqueeze(1), images.shape[2:], mode="bilinear", align_corners=False).squeeze(1)
    peak = resized.amax(dim=(1, 2), keepdim=True)
    return (resized / peak.where(peak > 0, 1.0)).float()
