"""Explicit INT8: where QuantizeLinear and DequantizeLinear (Q/DQ) go, and with which scales.

Two styles, one placement:

- `cpu`: unsigned activations with a zero point, biases as int32 at the product of input and weight scale. ONNX Runtime
  fuses each DQ - Conv - Relu - Q into one integer kernel; both inputs of a residual Add are quantised.
- `tensorrt`: symmetric signed activations, zero points 0, float biases, and only the skip input of a residual Add
  quantised, so that Conv + Add + Relu stays one kernel. A convolution's weights have one step; what a channel's own
  step is of it comes after the convolution as a gain, with the bias: the integers and the results are those of a step
  per channel, and the convolution can hand FP16 on (scaled by a vector of FP32 steps, it writes FP32).

In both, weights are signed and rounded per output channel, no Q/DQ stands between a Conv or Add and its Relu, and the
final projection stays in floating point.

In the cpu style the first convolution works on blocks of pixels: the same sums in a shape that integer kernels are fast
at. ONNX Runtime's integer kernels want input channels in fours; an image has three, so the first convolution is
unrolled into a matrix instead, which costs it half of its time. Two by two pixels as one position of twelve channels,
and a kernel of 4 x 4 such positions with stride 1 in place of 7 x 7 pixels with stride 2, need no unrolling. A row and
a column of zeros join the weights; every sum is the same integer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emer_edge.bundle import CPU, TENSORRT, Variant
from emer_edge.calibration.methods import Range
from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex, rewritten, still_used

_SMALLEST_SCALE: Final = 1e-8
_INT32: Final = 2**31 - 1
_LARGEST_SUM: Final = 60_000.0
"""What no sum of products reaches before its gain, so that FP16, which ends at 65,504, holds it."""
_BLOCK: Final = 2
# A crop holds whole grey levels / 255: with this range its quantisation is exact.
_IMAGE_RANGE: Final = (0.0, 1.0)


def quantisable_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the Conv nodes with constant weights, and of the residual Adds, in graph order."""
    index = GraphIndex(model)
    return tuple(node.name for node in model.graph.node if _is_conv(node, index) or _is_residual(node, index))


def activations_to_quantise(model: onnx.ModelProto, style: Variant, keep: Collection[str] = ()) -> dict[str, list[str]]:
    """Where activations are quantised.

    Args:
        model: an FP32 part.
        style: `cpu` or `tensorrt`.
        keep: names of nodes that stay in floating point.

    Returns:
        tensor -> names of the nodes that take it quantised.
    """
    index = GraphIndex(model)
    taken: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.name in keep:
            continue
        if _is_conv(node, index):
            taken.setdefault(node.input[0], []).append(node.name)
        elif _is_residual(node, index):
            inputs = list(node.input) if style == CPU else [_skip_input(node, index)]
            for name in inputs:
                taken.setdefault(name, []).append(node.name)
    if style == CPU:
        # A pooling between quantised layers runs in INT8 too, on the scale of its input.
        for node in model.graph.node:
            if node.op_type == "MaxPool" and node.name not in keep and node.output[0] in taken:
                taken.setdefault(node.input[0], []).append(node.name)
    return taken


def quantise(
    model: onnx.ModelProto, ranges: Mapping[str, Range], style: Variant, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Return a quantised copy of an FP32 part.

    Args:
        model: an FP32 part at opset 17.
        ranges: of every tensor that `activations_to_quantise` names.
        style: `cpu` or `tensorrt`.
        keep: names of nodes that stay in floating point.

    Raises:
        ConfigurationError: a name in `keep` is no layer of the part, or a range is missing.
    """
    if unknown := sorted(set(keep) - set(quantisable_layers(model))):
        raise ConfigurationError(f"no quantisable layer is called {', '.join(unknown)}")
    taken = activations_to_quantise(model, style, keep)
    if missing := sorted(set(taken) - set(ranges)):
        raise ConfigurationError(f"no range was measured for {', '.join(missing)}")
    index = GraphIndex(model)
    rewriter = _Rewriter(style, index, taken)
    for name in taken:
        rewriter.plan(name, _range_of(name, ranges, taken, index))
    nodes = rewriter.rewrite(deepcopy(model).graph.node)
    return rewritten(model, nodes, [*still_used(model, nodes), *rewriter.constants.values()])


def _is_conv(node: onnx.NodeProto, index: GraphIndex) -> bool:
    return node.op_type == "Conv" and node.input[1] in index.constants


def _is_residual(node: onnx.NodeProto, index: GraphIndex) -> bool:
    return (
        node.op_type == "Add"
        and not any(name in index.constants for name in node.input)
        and any(index.made_by(name, "Conv") for name in node.input)
    )


def _skip_input(node: onnx.NodeProto, index: GraphIndex) -> str:
    """The input of a residual Add that is not the last Conv's: that Conv fuses with the Add."""
    first, second = node.input
    return str(second if index.made_by(first, "Conv") else first)


def _range_of(name: str, ranges: Mapping[str, Range], taken: Mapping[str, list[str]], index: GraphIndex) -> Range:
    if name in index.inputs:
        return _IMAGE_RANGE
    if index.made_by(name, "MaxPool") and index.producer[name].input[0] in taken:
        return ranges[index.producer[name].input[0]]
    return ranges[name]


@dataclass
class _Rewriter:
    style: Variant
    index: GraphIndex
    users: Mapping[str, Sequence[str]]
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    gains: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    pairs: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)

    def plan(self, tensor: str, measured: Range) -> None:
        """Make the Q/DQ pair of an activation."""
        low, high = min(measured[0], 0.0), max(measured[1], 0.0)
        if self.style == CPU:
            scale = max((high - low) / 255.0, _SMALLEST_SCALE)
            zero: NDArray[Any] = np.array(round(-low / scale), np.uint8)
        else:
            scale = max(-low, high, 127 * _SMALLEST_SCALE) / 127.0
            zero = np.array(0, np.int8)
        self.scales[tensor] = float(np.float32(scale))
        step = self._constant(f"{tensor}.scale", np.array(scale, np.float32))
        parameters = [step, self._constant(f"{tensor}.zero", zero)]
        self.pairs[tensor] = [
            helper.make_node("QuantizeLinear", [tensor, *parameters], [f"{tensor}.q"], name=f"{tensor}.quantize"),
            helper.make_node(
                "DequantizeLinear", [f"{tensor}.q", *parameters], [f"{tensor}.dq"], name=f"{tensor}.dequantize"
            ),
        ]

    def rewrite(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Return the nodes with every planned pair after its producer, in topological order."""
        written: list[onnx.NodeProto] = []
        for tensor in self.index.inputs & self.pairs.keys():
            written += self.pairs[tensor]
        for node in nodes:
            after: list[onnx.NodeProto] = []
            made = list(node.output)
            quantised = [name for name in node.input if node.name in self.users.get(name, ())]
            if node.op_type == "Conv" and quantised:
                written += self._weights(node, self.scales[quantised[0]])
                after = self._gains(node)
            for position, name in enumerate(node.input):
                # On the CPU a second, unquantised reader would keep the Relu before it from fusing.
                if name in self.users and (self.style == CPU or node.name in self.users[name]):
                    node.input[position] = f"{name}.dq"
            written += [node, *after]
            for name in made:
                written += self.pairs.get(name, [])
        return written

    def _weights(self, node: onnx.NodeProto, input_scale: float) -> list[onnx.NodeProto]:
        weight = self.index.array(node.input[1]).astype(np.float64)
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale = np.maximum(largest / 127.0, _SMALLEST_SCALE)
        bias = self.index.array(node.input[2]).astype(np.float64) if len(node.input) > 2 else None
        if bias is not None and self.style == CPU:
            # Else the int32 bias of a nearly dead channel would overflow.
            scale = np.maximum(scale, np.abs(bias) / (input_scale * _INT32) * 1.001)
        scale = scale.astype(np.float32)
        steps = (weight / scale.reshape(-1, 1, 1, 1)).reshape(-1, weight.shape[2] * weight.shape[3])
        quantised = np.clip(round_preserving_sums(steps), -127, 127).astype(np.int8).reshape(weight.shape)
        if self.style == TENSORRT:
            sums = np.abs(quantised.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
            step = np.float32(min(scale.max(), _LARGEST_SUM / max(127 * input_scale * sums.max(), 1)))
            self.gains[node.name] = scale / step
            return [self._dequantised(node, 1, quantised, step)]
        added = [self._dequantised(node, 1, quantised, scale)]
        if bias is not None:
            bias_scale = (scale * np.float32(input_scale)).astype(np.float32)
            integers = np.clip(np.rint(bias / bias_scale), -_INT32, _INT32).astype(np.int32)
            added.append(self._dequantised(node, 2, integers, bias_scale))
        return added

    def _gains(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What follows a convolution with one step: each channel's gain, and the bias, which is taken off the node."""
        if self.style == CPU:
            return []
        name, result = node.name, node.output[0]
        node.output[0] = f"{name}.sums"
        gain = self._constant(f"{name}.gain", self.gains[name].reshape(1, -1, 1, 1))
        scaled = helper.make_node("Mul", [f"{name}.sums", gain], [f"{name}.scaled"], name=f"{name}.scaled")
        if len(node.input) < 3:
            scaled.output[0] = result
            return [scaled]
        shift = self._constant(f"{name}.shift", self.index.array(node.input.pop()).reshape(1, -1, 1, 1))
        return [scaled, helper.make_node("Add", [f"{name}.scaled", shift], [result], name=f"{name}.shifted")]

    def _dequantised(
        self, node: onnx.NodeProto, position: int, values: NDArray[Any], scale: NDArray[Any] | np.float32
    ) -> onnx.NodeProto:
        name = node.input[position]
        parts = {"q": values, "scale": np.asarray(scale), "zero": np.zeros(scale.shape, values.dtype)}
        inputs = [self._constant(f"{name}.{kind}", value) for kind, value in parts.items()]
        node.input[position] = f"{name}.dq"
        made = helper.make_node("DequantizeLinear", inputs, [f"{name}.dq"], name=f"{name}.dequantize")
        if scale.ndim:
            made.attribute.append(helper.make_attribute("axis", 0))
        return made

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name


def round_preserving_sums(scaled: NDArray[Any]) -> NDArray[np.float64]:
    """Round to whole numbers, each row's sum kept to within a half.

    Neighbouring pixels are alike and activations after a ReLU have a positive mean, so what a kernel's rounding errors
    add up to matters more than their size: those nearest to the other side are rounded there until the sum fits. On a
    random backbone that is worth 2.5 dB of the embedding, and costs nothing on the device.

    Args:
        scaled: (rows, values of one kernel), in steps.

    Returns:
        float64 of the same shape, whole numbers within 1 of the given ones.
    """
    rounded: NDArray[np.float64] = np.rint(scaled).astype(np.float64)
    left = scaled - rounded
    owed = np.rint(left.sum(axis=1)).astype(int)
    rows = np.arange(len(scaled))[:, None]
    order = np.argsort(-left, axis=1)
    place = np.empty_like(order)
    place[rows, order] = np.arange(scaled.shape[1])[None]
    rounded += place < owed[:, None]
    rounded -= place >= scaled.shape[1] + np.minimum(owed, 0)[:, None]
    return rounded


def first_convolution_on_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a quantised part whose first convolution reads 2 x 2 pixels as channels.

    It is returned as it is where no quantised convolution of stride 2, with an odd kernel padded by half of it, reads
    an image that is a graph input.
    """
    index = GraphIndex(model)
    convolution = next((node for node in model.graph.node if _fits(node, index)), None)
    if convolution is None:
        return model
    copy = deepcopy(model)
    conv = next(node for node in copy.graph.node if node.name == convolution.name)
    read = index.producer[index.producer[conv.input[0]].input[0]]  # the QuantizeLinear
    stored = index.producer[conv.input[1]].input[0]
    weight, pads = _on_blocks(index.array(stored))
    kept = [attribute for attribute in conv.attribute if attribute.name not in ("kernel_shape", "strides", "pads")]
    del conv.attribute[:]
    conv.attribute.extend(kept)
    for name, value in (("kernel_shape", list(weight.shape[2:])), ("strides", [1, 1]), ("pads", pads)):
        conv.attribute.append(helper.make_attribute(name, value))
    image = read.input[0]
    quantize = next(node for node in copy.graph.node if node.name == read.name)
    quantize.input[0] = f"{image}.blocks"
    rest = [constant for constant in copy.graph.initializer if constant.name != stored]
    # In floating point, which every version of ONNX Runtime has a kernel for.
    blocks = helper.make_node("SpaceToDepth", [image], [f"{image}.blocks"], name=f"{image}.by_block", blocksize=_BLOCK)
    return rewritten(copy, [blocks, *copy.graph.node], [*rest, numpy_helper.from_array(weight, stored)])


def _fits(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if node.op_type != "Conv" or not all(index.made_by(name, "DequantizeLinear") for name in node.input[:2]):
        return False
    quantised = index.producer[node.input[0]].input[0]
    if not index.made_by(quantised, "QuantizeLinear") or index.producer[quantised].input[0] not in index.inputs:
        return False
    given: dict[str, Any] = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    height, width = given.get("kernel_shape", [0, 0])
    return (
        list(given.get("strides", [])) == [_BLOCK, _BLOCK]
        and height % 2 == width % 2 == 1
        and list(given.get("pads", [])) == [height // 2, width // 2] * 2
    )


def _on_blocks(weight: NDArray[Any]) -> tuple[NDArray[Any], list[int]]:
    """Weights (outputs, channels, rows, columns) over pixels as weights over blocks, and the padding in blocks.

    Channels are in the order of SpaceToDepth: row in the block, column in the block, channel.
    """
    outputs, channels, *sides = weight.shape
    front, back = [], []
    for side in sides:
        before, after = side // 2, side - 1 - side // 2  # pixels that a kernel reads before and after its own
        front.append(-(-before // _BLOCK))
        back.append(after // _BLOCK)
    heights, widths = ((one + two + 1) for one, two in zip(front, back, strict=True))
    wide = np.zeros((outputs, channels, _BLOCK * heights, _BLOCK * widths), weight.dtype)
    top, left = (_BLOCK * one - side // 2 for one, side in zip(front, sides, strict=True))
    wide[:, :, top : top + sides[0], left : left + sides[1]] = weight
    apart = wide.reshape((outputs, channels, heights, _BLOCK, widths, _BLOCK)).transpose((0, 3, 5, 1, 2, 4))
    return np.ascontiguousarray(apart).reshape(outputs, -1, heights, widths), [*front, *back]
