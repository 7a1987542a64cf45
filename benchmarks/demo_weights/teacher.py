"""The teacher: the expression network of `@vladmandic/face-api`, rebuilt in torch from the package's own numbers.

Four dense blocks of depthwise-separable convolutions, an average over 7 x 7 cells and a linear layer (the package's
`src/faceExpressionNet` and `src/faceFeatureExtractor`). TensorFlow pads on the right and below where a stride leaves a
remainder. `python -m benchmarks.demo_weights.teacher_check` compares it with the package in Node.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.demo_weights.material import face_api
from emer_edge.core.heads import EMOTIONS

CLASSES: Final = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""The teacher's classes in the order of its outputs, named as this project names emotions."""
SIZE: Final = 112
OWN_PX: Final = (7.2, 15.4, 97.6)
"""Left, top and side of the box, in the product's crops, that the package's own rule cuts out for this network: its
landmark network on 24 held-out renders, and `FaceLandmarks.align`; medians."""
FEATURES: Final = 256
_MEAN_RGB: Final = (122.782, 117.001, 104.298)
_NETWORK: Final = "face_expression_model"
_AT_ONCE: Final = 16


def read_weights(folder: Path, name: str = _NETWORK) -> dict[str, NDArray[np.float32]]:
    """Read a network of the package: tensor's name -> values, dequantised.

    Args:
        folder: the package's `model` folder, with a JSON manifest and one binary file of uint8 or float32 numbers.
        name: of the network.
    """
    tensors: dict[str, NDArray[np.float32]] = {}
    for group in json.loads((folder / f"{name}-weights_manifest.json").read_text("utf-8")):
        stored = b"".join((folder / path).read_bytes() for path in group["paths"])
        at = 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            coding = entry.get("quantization")
            dtype = np.dtype(coding["dtype"] if coding else "float32")
            values = np.frombuffer(stored, dtype, count, at).astype(np.float32)
            if coding:
                values = values * np.float32(coding["scale"]) + np.float32(coding["min"])
            tensors[entry["name"]] = values.reshape(entry["shape"])
            at += count * dtype.itemsize
        assert at == len(stored), f"{name} holds {len(stored)} bytes, its manifest names {at}"
    return tensors


class Teacher(nn.Module):
    """The network, frozen.

    Args:
        work: folder of the downloaded packages.

    Attributes:
        weights: parameter's name in the package -> tensor in torch's order of axes.
    """

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.weights = {
            name: torch.from_numpy(_torch_order(name, values))
            for name, values in read_weights(face_api(work) / "model").items()
        }
        self._mean = torch.tensor(_MEAN_RGB)[None, :, None, None]

    def maps(self, faces: Tensor, blocks: int = 4) -> list[Tensor]:
        """Return the outputs of dense1 to dense3: (n, 64, 28, 28), (n, 128, 14, 14), (n, 256, 7, 7).

        Args:
            faces: (n, 3, 112, 112), B, G, R in [0, 1].
            blocks: how many of the four blocks to compute; the first one's output isn't returned.
        """
        x = self._block((faces.flip(1) * 255.0 - self._mean) / 255.0, "dense0")
        maps = []
        for block in range(1, blocks):
            x = self._block(x, f"dense{block}")
            maps.append(x)
        return maps

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 256), means of dense3's cells, to logits (n, 7) in the order of `CLASSES`."""
        return features @ self.weights["fc/weights"] + self.weights["fc/bias"]

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Map faces (n, 3, 112, 112), B, G, R in [0, 1], to features (n, 256) and logits (n, 7)."""
        features = self.maps(faces)[-1].mean((2, 3))
        return features, self.logits(features)

    @torch.no_grad()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Soft labels of aligned crops.

        Args:
            images: (n, 112, 112, 3) uint8, B, G, R.

        Returns:
            (n, 7) in the order of `emer_edge.core.heads.EMOTIONS`, each row sums to 1.
        """
        rows = [np.zeros((0, len(CLASSES)), np.float32)]
        for start in range(0, len(images), _AT_ONCE):
            part = np.ascontiguousarray(images[start : start + _AT_ONCE].transpose(0, 3, 1, 2), np.float32) / 255.0
            rows.append(self.shares(torch.from_numpy(part)))
        return np.concatenate(rows)

    def seen(self, crops: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of `shares` over four views of a face: the product's crop and the teacher's own, both mirrored as well.

        One view is a noisy word: of held-out renders 24 % change their first class when they are mirrored.

        Args:
            crops: (n, 3, 112, 112), B, G, R in [0, 1].
            own: the same faces in boxes of `OWN_PX`.
        """
        parts = []
        for pair in zip(*(torch.from_numpy(each).split(_AT_ONCE) for each in (crops, own)), strict=True):
            pair = tuple(faces.to(memory_format=torch.channels_last) for faces in pair)
            views = [self.shares(view) for faces in pair for view in (faces, faces.flip(3))]
            parts.append(np.mean(views, axis=0))
        return np.concatenate(parts)

    @torch.no_grad()
    def shares(self, faces: Tensor) -> NDArray[np.float32]:
        """Do as `probabilities` on faces (n, 3, 112, 112), B, G, R in [0, 1]."""
        order = [CLASSES.index(emotion) for emotion in EMOTIONS]
        seen: NDArray[np.float32] = torch.softmax(self(faces)[1], dim=1).numpy()[:, order]
        return seen

    def _block(self, x: Tensor, name: str) -> Tensor:
        first = f"{name}/conv0"
        if f"{first}/filters" in self.weights:
            stem = _same(x, self.weights[f"{first}/filters"], 2, bias=self.weights[f"{first}/bias"])
        else:
            stem = self._separable(x, first, 2)
        one = F.relu(stem)
        two = self._separable(one, f"{name}/conv1", 1)
        three = self._separable(F.relu(one + two), f"{name}/conv2", 1)
        four = self._separable(F.relu(one + two + three), f"{name}/conv3", 1)
        return F.relu(one + two + three + four)

    def _separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        x = _same(x, self.weights[f"{name}/depthwise_filter"], stride, groups=x.shape[1])
        return F.conv2d(x, self.weights[f"{name}/pointwise_filter"], self.weights[f"{name}/bias"])


def _same(x: Tensor, kernel: Tensor, stride: int, groups: int = 1, bias: Tensor | None = None) -> Tensor:
    """TensorFlow's padding `same`: an odd remainder goes to the right and below."""
    size, side = x.shape[-1], kernel.shape[-1]
    padding = max((-(-size // stride) - 1) * stride + side - size, 0)
    before, after = padding // 2, padding - padding // 2
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, bias, stride, 0, 1, groups)


def _torch_order(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if name.endswith("depthwise_filter"):  # (h, w, channels, 1)
        values = values.transpose(2, 3, 0, 1)
    elif values.ndim == 4:  # (h, w, inputs, outputs)
        values = values.transpose(3, 2, 0, 1)
    return np.ascontiguousarray(values)
