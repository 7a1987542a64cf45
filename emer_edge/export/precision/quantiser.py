"""The face encoder in INT8: ranges measured once, then as many mixes of precision as the gate asks for.

The first convolution works on blocks of pixels: the same sums in a shape that integer kernels are fast at. ONNX
Runtime's integer kernels want input channels in fours; an image has three, so the first convolution is unrolled into a
matrix instead, which costs it half of its time. Two by two pixels as one position of twelve channels, and a kernel of
4 x 4 such positions with stride 1 in place of 7 x 7 pixels with stride 2, need no unrolling. A row and a column of
zeros join the weights; every sum is the same integer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emer_edge.bundle import CPU, TENSORRT, Variant
from emer_edge.calibration.measurement import model_session
from emer_edge.calibration.methods import Grid, Range
from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex, copied, rewritten
from emer_edge.export.precision.int8 import activations_to_quantise, quantise

_BLOCK: Final = 2

PROBES: Final = 12
"""Batches of calibration crops that show the constant error of an embedding."""
GRID_OF: Final[dict[Variant, Grid]] = {CPU: "unsigned", TENSORRT: "signed"}
"""How each style's 8 bits lie on a range."""


def first_convolution_on_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a quantised part whose first convolution reads 2 x 2 pixels as channels.

    It is returned as it is where no quantised convolution of stride 2, with an odd kernel padded by half of it, reads
    an image that is a graph input.
    """
    index = GraphIndex(model)
    found = next((each for each in model.graph.node if _fits(each, index)), None)
    if found is None:
        return model
    copy = copied(model)
    conv = next(each for each in copy.graph.node if each.name == found.name)
    read = index.producer[index.producer[conv.input[0]].input[0]]  # the QuantizeLinear
    stored = index.producer[conv.input[1]].input[0]
    weight, pads = _on_blocks(index.array(stored))
    kept = [each for each in conv.attribute if each.name not in ("kernel_shape", "strides", "pads")]
    del conv.attribute[:]
    conv.attribute.extend(kept)
    for name, value in (("kernel_shape", list(weight.shape[2:])), ("strides", [1, 1]), ("pads", pads)):
        conv.attribute.append(helper.make_attribute(name, value))
    image = read.input[0]
    quantize = next(each for each in copy.graph.node if each.name == read.name)
    quantize.input[0] = f"{image}.blocks"
    rest = [each for each in copy.graph.initializer if each.name != stored]
    # In floating point, which every version of ONNX Runtime has a kernel for.
    blocks = helper.make_node("SpaceToDepth", [image], [f"{image}.blocks"], name=f"{image}.by_block", blocksize=_BLOCK)
    return rewritten(copy, [blocks, *copy.graph.node], [*rest, numpy_helper.from_array(weight, stored)])


def _fits(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if node.op_type != "Conv" or not all(index.made_by(each, "DequantizeLinear") for each in node.input[:2]):
        return False
    quantised = index.producer[node.input[0]].input[0]
    if not index.made_by(quantised, "QuantizeLinear") or index.producer[quantised].input[0] not in index.inputs:
        return False
    given: dict[str, Any] = {each.name: helper.get_attribute_value(each) for each in node.attribute}
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


def shift_constant(model: onnx.ModelProto, name: str, by: NDArray[np.float64]) -> onnx.ModelProto:
    """Return a copy in which `by` was added to the float32 constant `name`.

    INT8 moves the mean of an embedding, which calibration crops show and a bias can undo at no cost (as Nagel et al.,
    "Data-free quantization through weight equalization and bias correction", 2019, do for each layer).

    Raises:
        ConfigurationError: the model has no such constant.
    """
    copy = copied(model)
    for each in copy.graph.initializer:
        if each.name == name:
            values = numpy_helper.to_array(each).astype(np.float64) + by
            each.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
            return copy
    raise ConfigurationError(f"the graph {model.graph.name} has no constant called {name}")


class EncoderQuantiser:
    """Quantises one FP32 face encoder.

    Args:
        encoder: the FP32 part.
        ranges: grid -> tensor -> low, high, for every tensor of `tensors_to_measure`.
        probes: batches of calibration crops, (B, 3, 112, 112) float32 each.
    """

    def __init__(
        self,
        encoder: onnx.ModelProto,
        ranges: Mapping[Grid, Mapping[str, Range]],
        probes: Sequence[NDArray[np.float32]],
    ) -> None:
        self.ranges = ranges
        self._encoder = encoder
        self._probes = probes
        self._expected = self._embed(encoder)

    def using(self, ranges: Mapping[Grid, Mapping[str, Range]]) -> EncoderQuantiser:
        """The same with other ranges."""
        other = copy(self)
        other.ranges = ranges
        return other

    def build(self, style: Variant, keep: Collection[str] = ()) -> onnx.ModelProto:
        """Quantise all layers but those named by `keep`, the constant part of the error taken off the last bias."""
        rough = quantise(self._encoder, self.ranges[GRID_OF[style]], style, keep)
        if style == CPU:
            rough = first_convolution_on_blocks(rough)
        error = (self._expected - self._embed(rough)).astype(np.float64).mean(axis=0)
        return shift_constant(rough, "projection.bias", error)

    def _embed(self, model: onnx.ModelProto) -> NDArray[np.float32]:
        session = model_session(model)
        return np.concatenate([session.run(None, {"face": each})[0] for each in self._probes[:PROBES]])


def tensors_to_measure(encoder: onnx.ModelProto) -> list[str]:
    """Names of the tensors that either style quantises, sorted."""
    return sorted({name for style in GRID_OF for name in activations_to_quantise(encoder, style)})
