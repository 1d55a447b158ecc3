"""Activation maps: the places in an image where the evidence for a class is, or where the features are strong.

A map is computed from the feature map A (B, D, h, w) of one layer of the backbone, resized bilinearly to the images
and divided by its maximum in each image: 0 means no evidence, 1 the strongest evidence in this image. Maps for a
class keep positive evidence only (ReLU). A map without positive evidence is zero everywhere. Models must be in eval
mode.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.models.backbones import ResNet
from fkt.models.classifier import Classifier

LAYERS = ("layer1", "layer2", "layer3", "layer4")
"""Layers of a backbone that maps can be computed from, in order."""


def cam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """CAM (arXiv:1512.04150, Eq. 2): the sum over channels k of A_k times the head's weight from k to the class.

    Before ReLU and resizing, the mean of the map is the logit of the class without its bias. This holds only for the
    last layer, before global average pooling and a linear head.

    images: (B, C, H, W) float, normalized. target: (B,) int64 classes. Returns (B, H, W) float32 in [0, 1].
    """
    with torch.no_grad():
        activation, _ = _forward(model, images, layer)
        evidence = torch.einsum("bdhw,bd->bhw", activation, model.head.weight[target])
    return _finish(evidence.relu(), images)


def gradcam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """Grad-CAM (arXiv:1610.02391, Eqs. 1-2): A_k times the mean over positions of the gradient of the class's logit.

    Works for any layer; on the last layer it equals CAM. Arguments and result as in ``cam``.
    """
    activation, gradient = _gradient(model, images, target, layer)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return _finish((weights * activation).sum(dim=1).relu(), images)


def layercam(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> Tensor:
    """LayerCAM (Jiang et al., IEEE TIP 30, 2021): A_k times its positive gradient at the same position.

    Works for any layer, and is more exact than Grad-CAM at early layers. Arguments and result as in ``cam``.
    """
    activation, gradient = _gradient(model, images, target, layer)
    return _finish((gradient.relu() * activation).sum(dim=1).relu(), images)


def eigencam(backbone: ResNet, images: Tensor, layer: nn.Module) -> Tensor:
    """Eigen-CAM (arXiv:2008.00299): the first principal component of each image's feature map. It needs no class.

    As in the paper, the features are not centered: with A (D, h * w) = U S V', the map is the first row of S V', with
    the sign that makes its sum positive. After a ReLU all its values are positive, so its minimum is moved to 0 before
    the division by the maximum. A constant map becomes zero everywhere. Arguments and result as in ``cam``.
    """
    with torch.no_grad():
        activation, _ = _forward(backbone, images, layer)
    _, values, rows = torch.linalg.svd(activation.flatten(2).double(), full_matrices=False)
    component = values[:, :1] * rows[:, 0]  # (B, h * w)
    component = component * torch.where(component.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    component = component - component.amin(dim=1, keepdim=True)
    component = component.where(component > 1e-9 * values[:, :1], 0.0)  # rounding errors of a constant map
    return _finish(component.view_as(activation[:, 0]), images)


CLASS_MAPS = {"cam": cam, "gradcam": gradcam, "layercam": layercam}


def map_sides(backbone: ResNet, images: Tensor) -> dict[str, int]:
    """Return the shorter side of each layer's feature map, in positions, for images of this size."""
    with torch.no_grad():
        found = {name: _forward(backbone, images[:1], backbone.get_submodule(name))[0] for name in LAYERS}
    return {name: min(activation.shape[2:]) for name, activation in found.items()}


def choose_layer(method: str, sides: Mapping[str, int], min_positions: int) -> tuple[str, str]:
    """Return the method and the layer that maps are computed with.

    method: a key of CLASS_MAPS, eigencam or auto. sides: see map_sides. ``cam`` always uses the last layer. The other
    methods use the last layer whose shorter side has at least min_positions. ``auto`` is cam if this is the last layer,
    otherwise gradcam. It is not layercam: the strided shortcuts after an early layer read only every other position,
    so LayerCAM, which weights each position by itself, shows a checkerboard there.
    Raises ParamsError if no layer has min_positions.
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


def _forward(model: nn.Module, images: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the output of a layer, as a leaf of the graph that follows, and the output of the model."""
    assert not model.training, "training mode would change the running statistics; call eval() first"
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_(torch.is_grad_enabled()))
        return outputs[0].clone()  # the next module may change its input in place

    with layer.register_forward_hook(keep):
        result = model(images)
    return outputs[0], result


def _gradient(model: Classifier, images: Tensor, target: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a layer's output and the gradient of the target's logit with respect to it, both (B, D, h, w)."""
    with torch.enable_grad():
        activation, logits = _forward(model, images, layer)
        score = logits.gather(1, target.view(-1, 1)).sum()  # images are independent in eval mode
        (gradient,) = torch.autograd.grad(score, activation)
    return activation.detach(), gradient


def _finish(evidence: Tensor, images: Tensor) -> Tensor:
    """Resize non-negative (B, h, w) evidence to the images and divide each map by its maximum."""
    resized = F.interpolate(evidence.unsqueeze(1), images.shape[2:], mode="bilinear", align_corners=False).squeeze(1)
    peak = resized.amax(dim=(1, 2), keepdim=True)
    return (resized / peak.where(peak > 0, 1.0)).float()
