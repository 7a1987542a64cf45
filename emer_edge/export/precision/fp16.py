"""FP16 regions for TensorRT: weights and activations in FP16 but for the nodes that need more, with Casts between.

Q and DQ stay FP32, as opset 17 has no other scales: an INT8 part computes in FP16 between a DQ and the next Q.
Inputs and outputs of the part stay float32, so both variants have the same interface.

FP16 overflows above 65,504. ONNX Runtime computes FP16 layers in FP32 on a CPU and leaves out the roundings between
neighbours, so running an FP16 part here does not show it. The FP32 part does: its numbers between layers are checked
instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emer_edge.calibration.measurement import model_session
from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex, rewritten

_LARGEST: Final = 65_504.0
# They move numbers and compute nothing: they follow the type that they are given.
_MOVES: Final = ("Reshape", "Transpose", "Squeeze", "Split", "Flatten")

_FLOAT_SCALES: Final = ("QuantizeLinear", "DequantizeLinear")
_NAMED: Final = 3
_AT_ONCE: Final = 16


def to_fp16(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a copy that computes in FP16 except in the nodes named by `keep`.

    Args:
        model: an FP32 part, with or without Q/DQ.
        keep: names of nodes that compute in FP32.

    Raises:
        ConfigurationError: a weight of an FP16 node is larger than FP16 can hold.
    """
    index = GraphIndex(model)
    half: set[str] = set()
    casts: set[str] = set()
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
            casts.add(key)
        return key

    for node in deepcopy(model).graph.node:
        moves = node.op_type in _MOVES
        stays = node.name in keep or node.op_type in _FLOAT_SCALES
        to_half = (node.input[0] in half) if moves else not stays
        inputs = [value(name, to_half) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        nodes.append(node)
        for position, name in enumerate(node.output):
            if to_half and name in index.outputs:
                node.output[position] = inner = f"{name}.fp16"
                nodes.append(helper.make_node("Cast", [inner], [name], name=f"{name}.to_fp32", to=TensorProto.FLOAT))
            elif to_half:
                half.add(name)
    copy = rewritten(model, nodes, constants.values())
    del copy.graph.value_info[:]
    return copy


def overflows(
    part: onnx.ModelProto, full_precision: Collection[str], given: Mapping[str, NDArray[np.float32]]
) -> tuple[str, ...]:
    """Find the layers of an FP32 part whose results FP16 can't hold.

    Args:
        part: the part in FP32.
        full_precision: names of nodes that stay in FP32.
        given: input -> (n, ...) values to run it on.

    Returns:
        A sentence for each of the first few such layers, in graph order; empty where all fits.
    """
    layer_of = {name: node.name for node in part.graph.node if node.name not in full_precision for name in node.output}
    session = model_session(part, threads=1, also=[name for name in layer_of if name])
    floats = (output.name for output in session.get_outputs() if output.type == "tensor(float)")
    names = [name for name in floats if name in layer_of]
    largest = dict.fromkeys(names, 0.0)
    count = len(next(iter(given.values())))
    for at in range(0, count, _AT_ONCE):
        batch = {name: values[at : at + _AT_ONCE] for name, values in given.items()}
        for name, value in zip(names, session.run(names, batch), strict=True):
            largest[name] = max(largest[name], float(np.abs(value).max(initial=0.0)))
    beyond = [name for name in layer_of if largest.get(name, 0.0) > _LARGEST]
    return tuple(f"{layer_of[name]} reaches {largest[name]:.3g}, and FP16 holds 65,504" for name in beyond[:_NAMED])
