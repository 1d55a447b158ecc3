"""The network and the images that predictions and activation maps are tested with."""

import pytest
import torch
from torch import nn

from fkt.data.meta import Meta
from fkt.data.store import Split
from fkt.models.backbones import BACKBONES, ResNet
from fkt.models.classifier import Classifier


@pytest.fixture
def classifier() -> Classifier:
    """An untrained classifier of five classes and 3-channel images, in eval mode."""
    torch.manual_seed(0)
    classifier = Classifier(ResNet(BACKBONES["resnet10"], channels=3, width=16, stem="small"), num_classes=5)
    nn.init.normal_(classifier.head.weight)  # small initial weights would hide a wrong class
    return classifier.eval()


@pytest.fixture
def split() -> Split:
    """Forty test images of five classes, whose own mean and std are wrong: those of a model must be used."""
    images = torch.randint(0, 256, (40, 32, 32, 3), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    meta = Meta("fake", list("abcde"), 32, 3, {}, [9.0] * 3, [9.0] * 3)
    return Split("test", meta, torch.arange(100, 140), torch.arange(40) % 5, images)
