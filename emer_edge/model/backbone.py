"""ResNet-18 with torchvision's parameter names, the face features of EMERT; and one drawn from a seed, to be frozen.

Source of the layout: He et al., "Deep Residual Learning for Image Recognition" (2015), Table 1, basic blocks 2-2-2-2.

A network with fixed filters still separates expressions once its batch norms are calibrated on faces. Drawing is
arranged so that much of what the first layer sees survives to the global average pool:

- the first layer looks for edges and lines (Gabor filters in quadrature, Daugman, 1985), spots and colours;
- early residual branches are weak, so that the shortcuts carry the first layer's answers through;
- each 3x3 filter reads few channels and at one of its nine places only: a channel is shifted and leaves the frame at
  the border, which writes where something was into an average that would otherwise forget it. Zero elsewhere, and not
  merely small: 8-bit weights would turn small ones into noise.

`numpy.random.RandomState` is used because its stream is frozen across NumPy versions.
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FEATURES: Final = 512
_IMAGENET_CLASSES: Final = 1000

Kernels = NDArray[np.float64]
_RESIDUAL_GAINS: Final = (0.3, 0.3, 0.5, 1.0)  # of the four stages
_SOURCES: Final = 4  # channels that a 3x3 filter reads, on average
_ORIENTATIONS: Final = 6
_PHASES: Final = 4
_BANDS: Final = ((4.0, 1.6), (7.0, 2.4))  # wavelength and width, pixels
_COLOURS: Final = ((0.114, 0.587, 0.299), (-0.5, -0.3, 0.8), (0.8, -0.6, -0.2))  # B, G, R: luminance and two opponents


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
    """

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


def seeded_tensors(seed: int) -> dict[str, Tensor]:
    """Draw all parameters of the backbone, under torchvision's names; running statistics are not among them."""
    rng = np.random.RandomState(seed)
    tensors: dict[str, Tensor] = {}
    for name, parameter in ResNet18().named_parameters():
        shape = tuple(parameter.shape)
        if name == "conv1.weight":
            value = _first_layer(rng)
        elif len(shape) == 4 and shape[2] == 3:
            value = _shifting(rng, shape[0], shape[1])
        elif len(shape) == 4:
            value = _sparse(rng, shape[0], shape[1])[:, :, None, None]
        elif name.endswith("bn2.weight"):
            value = np.full(shape, _RESIDUAL_GAINS[int(name[len("layer")]) - 1])
        else:
            value = np.full(shape, float(name.endswith("weight")))
        tensors[name] = torch.from_numpy(value.astype(np.float32))
    return tensors


def seeded_convolutions(seed: int) -> dict[str, Tensor]:
    """Return the convolutions among `seeded_tensors`: nearly all of the backbone's numbers."""
    return {name: kernel for name, kernel in seeded_tensors(seed).items() if kernel.dim() == 4}


def seed_backbone(backbone: ResNet18, seed: int) -> None:
    """Fill a backbone from a seed; its batch norms are to be calibrated before use."""
    backbone.load_state_dict(seeded_tensors(seed), strict=False)


def _sparse(rng: np.random.RandomState, outputs: int, inputs: int) -> Kernels:
    """(outputs, inputs) mixing matrix, about four entries per row."""
    kept = rng.random_sample((outputs, inputs)) < _SOURCES / inputs
    kept[np.arange(outputs), rng.randint(0, inputs, outputs)] = True  # no filter without a source
    return cast("Kernels", rng.standard_normal((outputs, inputs)) * kept / np.sqrt(_SOURCES))


def _shifting(rng: np.random.RandomState, outputs: int, inputs: int) -> Kernels:
    kernels: Kernels = np.zeros((outputs, inputs, 9))
    kernels[np.arange(outputs), :, rng.randint(0, 9, outputs)] = _sparse(rng, outputs, inputs)
    return kernels.reshape(outputs, inputs, 3, 3)


def _first_layer(rng: np.random.RandomState) -> Kernels:
    """(64, 3, 7, 7): 48 Gabor filters, 6 spots, 6 centre-surround filters of both signs, and 4 at random."""
    y, x = np.mgrid[-3:4, -3:4].astype(np.float64)
    radius = x * x + y * y
    colours = [np.array(colour) / np.linalg.norm(colour) for colour in _COLOURS]
    filters: list[Kernels] = []

    def add(kernel: Kernels, colour: Kernels) -> None:
        filters.append(colour[:, None, None] * kernel / np.linalg.norm(kernel))

    for wavelength, width in _BANDS:
        envelope = np.exp(-radius / (2 * width * width))
        for angle in np.pi * np.arange(_ORIENTATIONS) / _ORIENTATIONS:
            along = x * np.cos(angle) + y * np.sin(angle)
            for phase in 2 * np.pi * np.arange(_PHASES) / _PHASES:
                wave = envelope * np.cos(2 * np.pi * along / wavelength + phase)
                add(wave - envelope * wave.sum() / envelope.sum(), colours[0])
    spot, centre, surround = (np.exp(-radius / (2 * width * width)) for width in (1.8, 0.8, 2.2))
    for sign in (1.0, -1.0):
        for colour in colours:
            add(sign * spot, colour)
            add(sign * (centre / centre.sum() - surround / surround.sum()), colour)
    rest = rng.standard_normal((64 - len(filters), 3, 7, 7))
    rest /= np.linalg.norm(rest.reshape(len(rest), -1), axis=1)[:, None, None, None]
    return np.concatenate([np.stack(filters), rest])
