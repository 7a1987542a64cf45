"""ResNet-18 with torchvision's parameter names, the face features of EMERT.

Source of the layout: He et al., "Deep Residual Learning for Image Recognition" (2015), Table 1, basic blocks 2-2-2-2.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn

FEATURES: Final = 512
_IMAGENET_CLASSES: Final = 1000


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return cast("Tensor", self.relu(residual + shortcut))


class ResNet18(nn.Module):
    """ResNet-18 up to its global average pool.

    Args:
        classifier: hold the ImageNet classifier `fc` too. It is never computed; published checkpoints contain it.

    Attributes:
        width: features of a face.
    """

    width: Final = FEATURES

    def __init__(self, classifier: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, FEATURES, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        if classifier:
            self.fc = nn.Linear(FEATURES, _IMAGENET_CLASSES)

    def forward(self, face: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112) to features (B, 512)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(face))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
