"""INT8 LSTMs for ONNX Runtime: signed weights with a scale for each gate and unit, states quantised as they come.

ONNX has no such operator; `DynamicQuantizeLSTM` is ONNX Runtime's own (domain com.microsoft), in every version since
1.7. One range covers a step's whole input, so that one wild raw column would erase all others: only LSTMs that read
columns standardised, and clipped, inside the graph are quantised.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emer_edge.export.graph import GraphIndex

__all__ = ["quantisable_lstms", "quantise_lstms"]

_DOMAIN = "com.microsoft"
_DOMAIN_VERSION = 1
_SMALLEST_SCALE = 1e-8


def quantisable_lstms(part: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the LSTM nodes that 8 bits can hold: those that read standardised columns, and those above them."""
    index = GraphIndex(part)
    return tuple(each.name for each in part.graph.node if each.op_type == "LSTM" and _bounded(each.input[0], index))


def quantise_lstms(part: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every LSTM of `quantisable_lstms` computes its products in INT8."""
    index = GraphIndex(part)
    chosen = set(quantisable_lstms(part))
    copy = onnx.ModelProto()
    copy.CopyFrom(part)
    constants: dict[str, onnx.TensorProto] = {}
    nodes = []
    for node in copy.graph.node:
        nodes.append(_quantised(node, index, constants) if node.name in chosen else node)
    rewritten = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(rewritten)
    used = {name for node in rewritten for name in node.input}
    kept = [each for each in part.graph.initializer if each.name in used]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend([*kept, *constants.values()])
    if chosen:
        copy.opset_import.append(helper.make_opsetid(_DOMAIN, _DOMAIN_VERSION))
    return copy


def _bounded(tensor: str, index: GraphIndex) -> bool:
    """Whether a tensor comes from a Clip or an LSTM, and was only moved since."""
    while tensor in index.producer:
        node = index.producer[tensor]
        if node.op_type == "Clip":
            return True
        if node.op_type not in ("Transpose", "Squeeze", "LSTM"):
            return False
        tensor = node.input[0]
    return False


def _quantised(node: onnx.NodeProto, index: GraphIndex, constants: dict[str, onnx.TensorProto]) -> onnx.NodeProto:
    scales = []
    weights = []
    for name in node.input[1:3]:
        values, scale = _rounded(index.array(name).astype(np.float64))
        parts = {"q": values, "scale": scale, "zero": np.zeros(scale.shape, np.int8)}
        for kind, value in parts.items():
            constants[f"{name}.{kind}"] = numpy_helper.from_array(value, f"{name}.{kind}")
        weights.append(f"{name}.q")
        scales += [f"{name}.scale", f"{name}.zero"]
    bias = node.input[3] if len(node.input) > 3 else ""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    # Sequence lengths, initial states and peepholes are not used.
    inputs = [node.input[0], *weights, bias, "", "", "", "", *scales]
    return helper.make_node("DynamicQuantizeLSTM", inputs, list(node.output), name=node.name, domain=_DOMAIN, **given)


def _rounded(weight: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights (1, 4 hidden, inputs) as (1, inputs, 4 hidden) int8, and their scales (1, 4 hidden)."""
    scale = np.maximum(np.abs(weight).max(axis=2) / 127.0, _SMALLEST_SCALE).astype(np.float32)
    steps = np.rint(weight / scale[:, :, None])
    values = np.clip(steps, -127, 127).astype(np.int8)
    return np.ascontiguousarray(values.transpose(0, 2, 1)), scale
