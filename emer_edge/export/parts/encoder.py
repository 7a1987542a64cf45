"""The face encoder: ResNet-18 with its batch norms folded into the convolutions, and the projection to 128."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from emer_edge.export.parts.graph import GraphBuilder
from emer_edge.export.parts.layers import array, linear
from emer_edge.model.emert import Emert
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = ["face_encoder", "folded"]


def face_encoder(model: Emert) -> onnx.ModelProto:
    """Write the part: input `face` (N, 3, 112, 112) float32 BGR in [0, 1], output `embedding` (N, 128) float32.

    Nodes are named as the layers of the backbone: `conv1`, `layer1.0.conv1`, `layer1.0.add`, ..., `projection`.
    """
    backbone: Any = model.subnet.f_extractor
    graph = GraphBuilder("face_encoder")
    x = graph.input("face", 3, FACE_SIZE_PX, FACE_SIZE_PX)
    x = graph.node("Relu", [_conv(graph, x, backbone.conv1, backbone.bn1, "conv1")], "relu")
    pool: nn.MaxPool2d = backbone.maxpool
    x = graph.node("MaxPool", [x], "maxpool", **_window(pool.kernel_size, pool.stride, pool.padding))
    for stage in range(1, 5):
        for number, block in enumerate(getattr(backbone, f"layer{stage}")):
            x = _block(graph, x, block, f"layer{stage}.{number}")
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "avgpool")], "flatten", axis=1)
    linear(graph, x, model.proj_v1, "projection", output="embedding")
    graph.output("embedding", model.proj_v1.out_features)
    return graph.build()


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight and bias, float64, of the one convolution that equals `norm(conv(x))` in evaluation mode."""
    gain = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    before = array(conv.bias) if conv.bias is not None else 0.0
    bias = array(norm.bias) + (before - array(norm.running_mean)) * gain
    return array(conv.weight) * gain[:, None, None, None], bias


def _block(graph: GraphBuilder, x: str, block: Any, name: str) -> str:
    shortcut = x
    if block.downsample is not None:
        shortcut = _conv(graph, x, block.downsample[0], block.downsample[1], f"{name}.downsample")
    inner = graph.node("Relu", [_conv(graph, x, block.conv1, block.bn1, f"{name}.conv1")], f"{name}.relu1")
    main = _conv(graph, inner, block.conv2, block.bn2, f"{name}.conv2")
    return graph.node("Relu", [graph.node("Add", [main, shortcut], f"{name}.add")], f"{name}.relu2")


def _conv(graph: GraphBuilder, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, name: str) -> str:
    weight, bias = folded(conv, norm)
    inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    return graph.node("Conv", inputs, name, **_window(conv.kernel_size, conv.stride, conv.padding))


def _window(kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    """ONNX attributes of a sliding window given torch's, each one number or two."""
    given = {"kernel_shape": kernel, "strides": stride, "pads": padding}
    pairs = {name: [each] * 2 if isinstance(each, int) else list(each) for name, each in given.items()}
    return {**pairs, "pads": pairs["pads"] * 2}
