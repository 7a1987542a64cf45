"""The first convolution on blocks of pixels: the same sums in a shape that integer kernels are fast at.

ONNX Runtime's integer kernels want input channels in fours; an image has three, so the first convolution is unrolled
into a matrix instead, which costs it half of its time. Two by two pixels as one position of twelve channels, and a
kernel of 4 x 4 such positions with stride 1 in place of 7 x 7 pixels with stride 2, need no unrolling. A row and a
column of zeros join the weights; every sum is the same integer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emer_edge.export.parts.graph import GraphIndex

__all__ = ["first_convolution_on_blocks"]

_BLOCK: Final = 2


def first_convolution_on_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a quantised part whose first convolution reads 2 x 2 pixels as channels.

    It is returned as it is where no quantised convolution of stride 2, with an odd kernel padded by half of it, reads
    an image that is a graph input.
    """
    index = GraphIndex(model)
    found = next((each for each in model.graph.node if _fits(each, index)), None)
    if found is None:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
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
    del copy.graph.initializer[:]
    copy.graph.initializer.extend([*rest, numpy_helper.from_array(weight, stored)])
    # In floating point, which every version of ONNX Runtime has a kernel for.
    blocks = helper.make_node("SpaceToDepth", [image], [f"{image}.blocks"], name=f"{image}.by_block", blocksize=_BLOCK)
    nodes = [blocks, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


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
    apart = wide.reshape(outputs, channels, heights, _BLOCK, widths, _BLOCK).transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(apart).reshape(outputs, -1, heights, widths), [*front, *back]
