"""INT8 products of fusion for ONNX Runtime: signed weights with a scale a column, inputs quantised as they come.

LSTMs become `DynamicQuantizeLSTM`, the wide products of the transformer `DynamicQuantizeMatMul`: operators of ONNX
Runtime's own (domain com.microsoft, version 1), which has had both since long before 1.18.

One range covers a whole input, so that one wild raw column would erase all others: an LSTM is quantised only where its
columns are standardised, and clipped, inside the graph. Products read what a layer normalisation or a softmax bounds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex, rewritten, still_used

_DOMAIN: Final = "com.microsoft"
_DOMAIN_VERSION: Final = 1
_SMALLEST_SCALE: Final = 1e-8
_SMALLEST_PRODUCT: Final = 2**14
"""Weights from which on a product in INT8 saves more than quantising its input costs."""


def quantisable_products(part: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the nodes that 8 bits can hold, LSTMs first.

    These are LSTMs over standardised columns, those above them, and wide products with constant weights. A part that
    reads raw columns has none.
    """
    index = GraphIndex(part)
    lstms = [node.name for node in part.graph.node if _is_bounded_lstm(node, index)]
    wide = [node.name for node in part.graph.node if _is_wide(node, index)]
    return (*lstms, *wide) if lstms else ()


def quantise_products(part: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a copy in which the `quantisable_products` compute in INT8.

    Args:
        part: an FP32 fusion part.
        keep: names of those that stay in floating point.

    Raises:
        ConfigurationError: a name in `keep` is no such product.
    """
    able = quantisable_products(part)
    if unknown := sorted(set(keep) - set(able)):
        raise ConfigurationError(f"no quantisable product is called {', '.join(unknown)}")
    index = GraphIndex(part)
    constants: dict[str, onnx.TensorProto] = {}
    nodes = [
        _quantised(node, index, constants) if node.name in able and node.name not in keep else node
        for node in part.graph.node
    ]
    copy = rewritten(part, nodes, [*still_used(part, nodes), *constants.values()])
    if constants:
        copy.opset_import.append(helper.make_opsetid(_DOMAIN, _DOMAIN_VERSION))
    return copy


def _is_bounded_lstm(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if node.op_type != "LSTM":
        return False
    tensor = node.input[0]
    while tensor in index.producer:
        behind = index.producer[tensor]
        if behind.op_type == "Clip":
            return True
        if behind.op_type not in ("Transpose", "Squeeze", "LSTM"):
            return False
        tensor = behind.input[0]
    return False


def _is_wide(node: onnx.NodeProto, index: GraphIndex) -> bool:
    return (
        node.op_type == "Gemm"
        and node.input[1] in index.constants
        and int(np.prod(index.constants[node.input[1]].dims)) >= _SMALLEST_PRODUCT
    )


def _quantised(node: onnx.NodeProto, index: GraphIndex, constants: dict[str, onnx.TensorProto]) -> onnx.NodeProto:
    def stored(name: str, weight: NDArray[np.float64]) -> tuple[str, str, str]:
        # A step for each output, (..., outputs), of weights (..., inputs, outputs).
        scale = np.maximum(np.abs(weight).max(axis=-2) / 127.0, _SMALLEST_SCALE).astype(np.float32)
        values = np.clip(np.rint(weight / scale[..., None, :]), -127, 127).astype(np.int8, order="C")
        parts: dict[str, NDArray[Any]] = {"q": values, "scale": scale, "zero": np.zeros(scale.shape, np.int8)}
        for kind, value in parts.items():
            constants[f"{name}.{kind}"] = numpy_helper.from_array(value, f"{name}.{kind}")
        return f"{name}.q", f"{name}.scale", f"{name}.zero"

    weights = [index.array(name).astype(np.float64) for name in node.input[1:] if name in index.constants]
    if node.op_type == "Gemm":
        q, scale, zero = stored(node.input[1], weights[0])
        inputs = [node.input[0], q, scale, zero, *node.input[2:]]
        return helper.make_node("DynamicQuantizeMatMul", inputs, list(node.output), name=node.name, domain=_DOMAIN)
    # W (1, 4 hidden, inputs) and R (1, 4 hidden, hidden) are laid out as the right side of a product.
    w, r = (stored(name, weight.transpose(0, 2, 1)) for name, weight in zip(node.input[1:3], weights, strict=False))
    # Sequence lengths, initial states and peepholes are not used.
    inputs = [node.input[0], w[0], r[0], node.input[3], "", "", "", "", *w[1:], *r[1:]]
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return helper.make_node("DynamicQuantizeLSTM", inputs, list(node.output), name=node.name, domain=_DOMAIN, **given)
