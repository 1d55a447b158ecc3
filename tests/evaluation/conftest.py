"""The network whose activation maps are tested."""

import pytest
import torch
from torch import nn

from fkt.models.backbones import BACKBONES, ResNet
from fkt.models.classifier import Classifier


@pytest.fixture
def classifier() -> Classifier:
    """An untrained classifier of five classes and 3-channel images, in eval mode."""
    torch.manual_seed(0)
    classifier = Classifier(ResNet(BACKBONES["resnet10"], channels=3, width=16, stem="small"), num_classes=5)
    nn.init.normal_(classifier.head.weight)  # small initial weights would hide a wrong class
    return classifier.eval()
