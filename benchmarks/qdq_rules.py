"""What keeps TensorRT from fusing, or accepting, an explicitly quantised graph."""

from __future__ import annotations

import numpy as np
import onnx

from emer_edge.export.parts.graph import GraphIndex

__all__ = ["find_qdq_violations"]

_COMPUTE = ("Conv", "Gemm", "MatMul", "ConvTranspose", "Add")
_QDQ = ("QuantizeLinear", "DequantizeLinear")


def find_qdq_violations(model: onnx.ModelProto) -> list[str]:
    """Name every breach of the rules for explicit quantisation (NVIDIA, "Working with quantized types").

    The rules: symmetric (zero points 0, signed 8-bit types); float32 scales, as opset 17 has no other; biases in
    floating point; no Q/DQ between a Conv or Add and its Relu; a residual Add whose output is quantised later has a
    quantised input; a Conv with a quantised input has quantised weights and the other way round.
    """
    index = GraphIndex(model)
    broken: list[str] = []
    for node in model.graph.node:
        if node.op_type in _QDQ:
            broken += _parameters(node, index)
        elif node.op_type == "Relu":
            if index.dequantised(node.input[0]) and _behind(node.input[0], index) in _COMPUTE:
                broken.append(f"{node.name}: Q/DQ between {_behind(node.input[0], index)} and its Relu")
        elif node.op_type == "Conv":
            sides = [index.dequantised(name) for name in node.input[:2]]
            if sides[0] != sides[1]:
                broken.append(f"{node.name}: only {'the input' if sides[0] else 'the weight'} is quantised")
            if len(node.input) > 2 and index.dequantised(node.input[2]):
                broken.append(f"{node.name}: quantised bias")
        elif node.op_type == "Add" and _is_bare_residual(node, index):
            broken.append(f"{node.name}: no input of this residual Add is quantised")
    return broken


def _parameters(node: onnx.NodeProto, index: GraphIndex) -> list[str]:
    broken = []
    if node.input[1] in index.constants and index.array(node.input[1]).dtype != np.float32:
        broken.append(f"{node.name}: scale is not float32")
    if len(node.input) > 2 and node.input[2] in index.constants:
        zero = index.array(node.input[2])
        if zero.dtype == np.uint8:
            broken.append(f"{node.name}: unsigned type")
        if np.any(zero != 0):
            broken.append(f"{node.name}: zero point is not 0")
    return broken


def _behind(tensor: str, index: GraphIndex) -> str:
    """Operator whose output a dequantised tensor stands for."""
    dequantised = _made(tensor, index)
    quantised = _made(dequantised.input[0], index) if dequantised is not None else None
    origin = _made(quantised.input[0], index) if quantised is not None else None
    return str(origin.op_type) if origin is not None else ""


def _made(tensor: str, index: GraphIndex) -> onnx.NodeProto | None:
    """What made a tensor, seen through Casts and a convolution's gain and bias."""
    while (node := index.producer.get(tensor)) is not None:
        constants = [name in index.constants for name in node.input]
        if node.op_type != "Cast" and not (node.op_type in ("Mul", "Add") and any(constants)):
            return node
        tensor = node.input[constants.index(False)]
    return None


def _is_bare_residual(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if any(name in index.constants for name in node.input):
        return False
    makers = [made for name in node.input if (made := _made(name, index)) is not None]
    quantised_conv = any(made.op_type == "Conv" and index.dequantised(made.input[0]) for made in makers)
    return quantised_conv and not any(map(index.dequantised, node.input))
