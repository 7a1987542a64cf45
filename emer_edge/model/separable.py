"""The face encoder of the demo weights: the feature layers of an openly licensed expression network, not a ResNet-18.

Four dense blocks of depthwise-separable convolutions, an average over 7 x 7 cells, and the mean of a face and its
mirror image, which that network reads otherwise in a quarter of cases: a fifth of the arithmetic of EMERT's own
encoder. `assets/backbone.safetensors` holds the numbers of the expression network of `@vladmandic/face-api` (its
`src/faceFeatureExtractor`), dequantised; `assets/NOTICE` has its licence, and `make demo-weights` writes the file.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from emer_edge.core.errors import CheckpointError

PACKAGED: Final = "assets/backbone.safetensors"
BLOCKS: Final = ("dense0", "dense1", "dense2", "dense3")
CONVOLUTIONS: Final = ("conv0", "conv1", "conv2", "conv3")
"""Those of a block; the first one halves the image."""
_CHANNELS: Final = (3, 32, 64, 128, 256)


class Separable(nn.Module):
    """A 3 x 3 convolution of each channel alone, then one of 1 x 1 over all channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.padding = padding(stride)
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return cast("Tensor", self.pointwise(self.depthwise(self.padding(x))))


class DenseBlock(nn.Module):
    """Four convolutions, each of which reads the sum of those before it.

    Args:
        plain: the first one is an ordinary convolution, of an image.
    """

    def __init__(self, inputs: int, outputs: int, plain: bool) -> None:
        super().__init__()
        self.padding = padding(2)
        self.conv0 = nn.Conv2d(inputs, outputs, 3, 2) if plain else Separable(inputs, outputs, 2)
        self.conv1, self.conv2, self.conv3 = (Separable(outputs, outputs, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        plain = isinstance(self.conv0, nn.Conv2d)
        total: Tensor = torch.relu(self.conv0(self.padding(x) if plain else x))
        for convolution in (self.conv1, self.conv2, self.conv3):
            total = total + convolution(torch.relu(total))
        return torch.relu(total)


class SeparableNet(nn.Module):
    """The network up to its global average, over a face and its mirror image.

    Attributes:
        width: features of a face.
        mean: (1, 3, 1, 1), B, G, R in [0, 1], what is taken off an image.
        gain: (256,), what features are multiplied with, so that all vary about alike.
    """

    width: Final = 256
    mean: Tensor
    gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("gain", torch.ones(self.width))
        for number, name in enumerate(BLOCKS):
            self.add_module(name, DenseBlock(_CHANNELS[number], _CHANNELS[number + 1], plain=number == 0))

    def forward(self, face: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112), B, G, R in [0, 1], to features (B, 256)."""
        both = self.as_they_are(torch.cat((face, face.flip(3))))
        return both.reshape(2, -1, self.width).mean(0) * self.gain

    def as_they_are(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 112, 112) to the expression network's own features of each (B, 256)."""
        x = images - self.mean
        for name in BLOCKS:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


def padding(stride: int) -> nn.ZeroPad2d:
    """TensorFlow's padding `same` of a 3 x 3 kernel: with a stride of 2 on an even image, on the right and below."""
    return nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)


def packaged_tensors() -> dict[str, Tensor]:
    """Read the packaged encoder: all tensors of a `SeparableNet`, float32.

    Raises:
        CheckpointError: the package lacks it, or it is damaged.
    """
    try:
        network = SeparableNet()
        network.load_state_dict(load(_content()))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{PACKAGED} of emer_edge.model is damaged: {error}; install emer-edge again") from None
    return network.state_dict()


def packaged_sha256() -> str:
    """SHA-256 of the packaged encoder's file; CheckpointError when the package lacks it."""
    return hashlib.sha256(_content()).hexdigest()


def _content() -> bytes:
    try:
        return (files("emer_edge.model") / PACKAGED).read_bytes()
    except OSError as error:
        raise CheckpointError(f"can't read {PACKAGED} of emer_edge.model: {error}; install emer-edge again") from None
