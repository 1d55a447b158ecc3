"""The initial weights of a backbone, before any training."""

from fkt.data.keys import seeded
from fkt.models.backbones import ResNet, build_backbone
from fkt.params import Model


def initial_backbone(model: Model, channels: int, seed: int, key: str = "backbone") -> ResNet:
    """Return a new backbone. A seed and a key always give the same weights; every arm uses the default key.

    channels: channels of the images. With ``model.weights: imagenet`` the weights are torchvision's, for every seed.
    """
    with seeded(seed, key):
        backbone = build_backbone(model, channels)
    if model.weights == "imagenet":
        from fkt.models.imagenet import load_imagenet

        load_imagenet(backbone, model.backbone)
    return backbone
