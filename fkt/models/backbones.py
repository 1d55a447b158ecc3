"""Residual networks (arXiv:1512.03385) with torchvision's parameter names, any width, and a stem for small images.

torchvision's class has no width and no small stem, and its import takes two seconds in every stage. With the same
weights, both give the same features.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core import ranks
from fkt.models.batchnorm import BatchNorm
from fkt.params import Model


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Return the projection of the shortcut, or None if the block keeps the shape."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), BatchNorm(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride)
        self.bn1 = BatchNorm(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = BatchNorm(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y.add_(shortcut), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut. The 3x3 convolution has the stride, as in torchvision (v1.5)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = BatchNorm(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = BatchNorm(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = BatchNorm(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y.add_(shortcut), inplace=True)


@dataclass(frozen=True)
class Architecture:
    """Type and number of the blocks in the four stages of a network."""

    block: type[BasicBlock | Bottleneck]
    depths: tuple[int, int, int, int]


class ResNet(nn.Module):
    """A residual network without a classifier: images to pooled features."""

    feature_size: int
    """D, the size of a feature vector: 8 * width, or 32 * width with bottleneck blocks."""

    def __init__(
        self, architecture: Architecture, *, channels: int, width: int, stem: Literal["small", "imagenet"]
    ) -> None:
        super().__init__()
        small = stem == "small"
        kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride=stride, padding=padding, bias=False)
        self.bn1 = BatchNorm(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        inputs, stages = width, []
        for number, depth in enumerate(architecture.depths):
            blocks: list[nn.Module] = []
            for position in range(depth):
                first = position == 0 and number > 0
                blocks.append(architecture.block(inputs, width * 2**number, 2 if first else 1))
                inputs = width * 2**number * architecture.block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.feature_size = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    @property
    def last_convolution(self) -> nn.Conv2d:
        """The last convolution. Its output, after BatchNorm and the shortcut, is the last feature map."""
        block = self.layer4[-1]
        last = block.conv3 if isinstance(block, Bottleneck) else block.conv2
        assert isinstance(last, nn.Conv2d)
        return last

    def feature_map(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, D, h, w), the last feature map."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        assert isinstance(x, Tensor)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, D), the mean of the last feature map over positions.

        In a step of several processes, each gives a part of the images and gets the features of all; see ranks.
        """
        return ranks.whole(self.feature_map(images).mean(dim=(2, 3)))


BACKBONES: dict[str, Architecture] = {
    "resnet10": Architecture(BasicBlock, (1, 1, 1, 1)),
    "resnet18": Architecture(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Architecture(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Architecture(Bottleneck, (3, 4, 6, 3)),
}


def build_backbone(model: Model, channels: int) -> ResNet:
    """Return a new backbone with random weights from torch's global generator.

    model: the model section of params.yaml. channels: channels of the images.
    """
    return ResNet(BACKBONES[model.backbone], channels=channels, width=model.width, stem=model.stem)
