"""The teacher: the expression network of `@vladmandic/face-api`, rebuilt in torch from the package's own numbers.

Its feature layers are those of the demo weights (`emer_edge.model.separable`); a linear layer follows (the package's
`src/faceExpressionNet`). `python -m benchmarks.demo_weights.teacher_check` compares it with the package in Node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.demo_weights.material import face_api
from emer_edge.core.heads import EMOTIONS
from emer_edge.model.separable import BLOCKS, CONVOLUTIONS, SeparableNet

CLASSES: Final = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""The teacher's classes in the order of its outputs, named as this project names emotions."""
SIZE: Final = 112
OWN_PX: Final = (7.2, 15.4, 97.6)
"""Left, top and side of the box, in the product's crops, that the package's own rule cuts out for this network: its
landmark network on 24 held-out renders, and `FaceLandmarks.align`; medians."""
_MEAN_RGB: Final = (122.782, 117.001, 104.298)
_NETWORK: Final = "face_expression_model"
_AT_ONCE: Final = 8


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
        net: its feature layers.
    """

    def __init__(self, work: Path) -> None:
        super().__init__()
        stored = {
            name: torch.from_numpy(_torch_order(name, values))
            for name, values in read_weights(face_api(work) / "model").items()
        }
        self.net = SeparableNet()
        self.net.load_state_dict(_feature_layers(stored))
        self._readout = stored["fc/weights"], stored["fc/bias"]
        self.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Map faces (n, 3, 112, 112), B, G, R in [0, 1], to features (n, 256) and logits (n, 7) of `CLASSES`."""
        features = self.net.as_they_are(faces)
        weights, bias = self._readout
        return features, features @ weights + bias

    def readout(self, gain: Tensor) -> nn.Linear:
        """The last layer for features that were multiplied with gains (256,): to logits (n, 7) of `EMOTIONS`."""
        weights, bias = self._readout
        order = [CLASSES.index(emotion) for emotion in EMOTIONS]
        layer = nn.Linear(*weights.shape)
        layer.weight.data.copy_(weights.T[order] / gain)
        layer.bias.data.copy_(bias[order])
        return layer.requires_grad_(False)

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


def _feature_layers(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a `SeparableNet`, which takes B, G, R in [0, 1], out of the package's."""
    tensors = {"mean": (torch.tensor(_MEAN_RGB) / 255.0).flip(0)[None, :, None, None], "gain": torch.ones(256)}
    for block in BLOCKS:
        for convolution in CONVOLUTIONS:
            given, name = f"{block}/{convolution}", f"{block}.{convolution}"
            if f"{given}/filters" in stored:  # of the image, R, G, B
                tensors[f"{name}.weight"] = stored[f"{given}/filters"].flip(1)
                tensors[f"{name}.bias"] = stored[f"{given}/bias"]
                continue
            tensors[f"{name}.depthwise.weight"] = stored[f"{given}/depthwise_filter"]
            tensors[f"{name}.pointwise.weight"] = stored[f"{given}/pointwise_filter"]
            tensors[f"{name}.pointwise.bias"] = stored[f"{given}/bias"]
    return tensors


def _torch_order(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if name.endswith("depthwise_filter"):  # (h, w, channels, 1)
        values = values.transpose(2, 3, 0, 1)
    elif values.ndim == 4:  # (h, w, inputs, outputs)
        values = values.transpose(3, 2, 0, 1)
    return np.ascontiguousarray(values)
