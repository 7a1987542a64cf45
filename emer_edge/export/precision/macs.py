"""How much of the arithmetic is INT8: multiply-accumulate operations (MACs) of a part, product by product.

Counted for a batch of one on the shapes that ONNX Runtime meets when it runs the part. What is INT8 in the cpu variant
is read off the graph that ONNX Runtime makes of the part (a Q/DQ pair that it can't fuse into an integer kernel doesn't
count); in the tensorrt variant off the Q/DQ pairs, which TensorRT has to follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from emer_edge.bundle import CPU, TENSORRT, Variant
from emer_edge.calibration.measurement import model_session
from emer_edge.core.errors import BundleError
from emer_edge.export.parts.graph import GraphIndex

_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operator -> which input holds the weights."""
_PRODUCTS: Final = frozenset(
    {
        "MatMul",
        "FusedMatMul",
        "Gemm",
        "QGemm",
        "QLinearMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
    }
)
_RECURRENT: Final = frozenset({"LSTM", "DynamicQuantizeLSTM"})
_FLOATING: Final = frozenset({"Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "LSTM"})
_GATES: Final = 4

Shape = Sequence[int]


@dataclass(frozen=True)
class ProductMacs:
    """One product of a part.

    Attributes:
        name: of the node.
        op: its operator.
        macs: for a batch of one.
        int8: whether it multiplies 8-bit numbers.
    """

    name: str
    op: str
    macs: int
    int8: bool


def count_macs(model: onnx.ModelProto) -> tuple[ProductMacs, ...]:
    """Count the MACs of convolutions, matrix products and LSTMs of an ONNX part, a batch of one, in graph order."""
    index = GraphIndex(model)
    nodes = [each for each in model.graph.node if each.op_type in _PRODUCTS | _RECURRENT | set(_CONVOLUTIONS)]
    shapes = _shapes(model, index, nodes)
    found = []
    for node in nodes:
        fed = all(index.made_by(each, "DequantizeLinear") for each in node.input[:2])
        int8 = node.op_type not in _FLOATING or (fed and node.op_type != "LSTM")
        found.append(ProductMacs(node.name, node.op_type, _macs(node, shapes), int8))
    return tuple(found)


def macs_of_variant(path: Path, variant: Variant) -> tuple[ProductMacs, ...]:
    """Count the MACs of a part's file as its variant runs it (see the module's first lines)."""
    return count_macs(_as_run(path) if variant == CPU else onnx.load(path))


def int8_shares(parts: Mapping[str, Path]) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
    """Share of INT8 MACs.

    Args:
        parts: `cpu/face_encoder`, `cpu/fusion` and so on -> ONNX file.

    Returns:
        The same keys, and `cpu/step` and `tensorrt/step` for one crop encoded and one fusion -> share, 0 to 1; and the
        keys -> MACs under `total` and `int8`.
    """
    counts: dict[str, dict[str, int]] = {}
    for key, path in parts.items():
        variant: Variant = CPU if key.startswith(f"{CPU}/") else TENSORRT
        found = macs_of_variant(path, variant)
        counts[key] = {"total": sum(each.macs for each in found), "int8": sum(each.macs for each in found if each.int8)}
        step = counts.setdefault(f"{variant}/step", {"total": 0, "int8": 0})
        for kind in step:
            step[kind] += counts[key][kind]
    return {key: round(each["int8"] / max(each["total"], 1), 4) for key, each in counts.items()}, counts


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type in _CONVOLUTIONS:
        weight = shapes[node.input[_CONVOLUTIONS[node.op_type]]]
        return math.prod(shapes[node.output[0]]) * math.prod(weight[1:])
    left = shapes[node.input[0]]
    if node.op_type in _RECURRENT:
        steps, batch, width = left
        hidden = int(given["hidden_size"])
        directions = 2 if given.get("direction", b"forward") == b"bidirectional" else 1
        return steps * batch * directions * _GATES * hidden * (width + hidden)
    inner = left[-2] if given.get("transA", 0) else left[-1]
    return math.prod(shapes[node.output[0]]) * inner


def _shapes(model: onnx.ModelProto, index: GraphIndex, nodes: Sequence[onnx.NodeProto]) -> dict[str, Shape]:
    """Shapes of the tensors that these nodes take and give, by running the part on zeros."""
    wanted = {name for node in nodes for name in (*node.input, node.output[0]) if name in index.producer}
    session = model_session(model, optimised=False, also=sorted(wanted))
    zeros: dict[str, NDArray[np.float32]] = {
        each.name: np.zeros([size if isinstance(size, int) else 1 for size in each.shape], np.float32)
        for each in session.get_inputs()
    }
    names = [each.name for each in session.get_outputs()]
    found: dict[str, Shape] = {name: each.shape for name, each in zip(names, session.run(names, zeros), strict=True)}
    found |= {name: each.shape for name, each in zeros.items()}
    return found | {name: tuple(each.dims) for name, each in index.constants.items()}


def _as_run(path: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of a part, short of the machine's own memory layouts."""
    with TemporaryDirectory(prefix="emer-edge-") as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no public base
            raise BundleError(f"ONNX Runtime can't store its graph of {path.name} in {folder}: {error}") from None
        return onnx.load(options.optimized_model_filepath)
