"""FP16 regions for TensorRT: weights and activations in FP16 but for the nodes that need more, with Casts between.

Inputs and outputs of the part stay float32, so both variants have the same interface.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex

__all__ = ["to_fp16"]

_LARGEST: Final = 65504.0
# They move numbers and compute nothing: they follow the type that they are given.
_MOVES: Final = ("Reshape", "Transpose", "Squeeze", "Split", "Flatten")


def to_fp16(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a copy that computes in FP16 except in the nodes named by `keep`.

    Args:
        model: an FP32 part without Q/DQ.
        keep: names of nodes that compute in FP32.

    Raises:
        ConfigurationError: a weight of an FP16 node is larger than FP16 can hold.
    """
    index = GraphIndex(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    half: set[str] = set()
    casts: dict[str, str] = {}
    constants: dict[str, onnx.TensorProto] = {}
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, to_half: bool) -> str:
        given = index.constants[name]
        if given.data_type != TensorProto.FLOAT or not to_half:
            constants[name] = given
            return name
        values = numpy_helper.to_array(given)
        if np.abs(values).max(initial=0.0) > _LARGEST:
            raise ConfigurationError(f"{name} holds {np.abs(values).max():g}, more than FP16 can; export with fp32")
        renamed = f"{name}.fp16"
        constants[renamed] = numpy_helper.from_array(values.astype(np.float16), renamed)
        return renamed

    def value(name: str, to_half: bool) -> str:
        if not name or name in index.constants:
            return constant(name, to_half) if name else name
        if (name in half) == to_half:
            return name
        kind = "fp16" if to_half else "fp32"
        if (key := f"{name}.{kind}") not in casts:
            target = TensorProto.FLOAT16 if to_half else TensorProto.FLOAT
            nodes.append(helper.make_node("Cast", [name], [key], name=f"{name}.to_{kind}", to=target))
            casts[key] = name
        return key

    for node in copy.graph.node:
        moves = node.op_type in _MOVES
        to_half = (node.input[0] in half) if moves else node.name not in keep
        inputs = [value(each, to_half) for each in node.input]
        del node.input[:]
        node.input.extend(inputs)
        nodes.append(node)
        for position, name in enumerate(node.output):
            if to_half and name in index.outputs:
                node.output[position] = f"{name}.fp16"
                nodes.append(
                    helper.make_node("Cast", [f"{name}.fp16"], [name], name=f"{name}.to_fp32", to=TensorProto.FLOAT)
                )
            elif to_half:
                half.add(name)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(constants.values())
    del copy.graph.value_info[:]
    return copy
