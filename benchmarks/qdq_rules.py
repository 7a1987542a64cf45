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
            if index.made_by(node.input[0], "DequantizeLinear") and _behind(node.input[0], index) in _COMPUTE:
                broken.append(f"{node.name}: Q/DQ between {_behind(node.input[0], index)} and its Relu")
        elif node.op_type == "Conv":
            sides = [index.made_by(name, "DequantizeLinear") for name in node.input[:2]]
            if sides[0] != sides[1]:
                broken.append(f"{node.name}: only {'the input' if sides[0] else 'the weight'} is quantised")
            if len(node.input) > 2 and index.made_by(node.input[2], "DequantizeLinear"):
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
    """Operator whose output a DequantizeLinear's tensor stands for."""
    quantised = index.producer[tensor].input[0]
    if not index.made_by(quantised, "QuantizeLinear"):
        return ""
    origin = index.producer[quantised].input[0]
    return str(index.producer[origin].op_type) if origin in index.producer else ""


def _is_bare_residual(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if any(name in index.constants for name in node.input):
        return False
    convs = [index.producer[name] for name in node.input if index.made_by(name, "Conv")]
    quantised_conv = any(index.made_by(conv.input[0], "DequantizeLinear") for conv in convs)
    return quantised_conv and not any(index.made_by(name, "DequantizeLinear") for name in node.input)
