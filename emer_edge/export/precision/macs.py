"""How much of the arithmetic is INT8: multiply-accumulate operations (MACs) of a part, product by product.

Counted for a batch of one on the shapes that ONNX Runtime meets when it runs the part. What is INT8 in the cpu variant
is read off the graph that ONNX Runtime makes of the part (a Q/DQ pair that it can't fuse into an integer kernel doesn't
count); in the tensorrt variant off the Q/DQ pairs, which TensorRT has to follow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from emer_edge.bundle import CPU, TENSORRT, Variant, role_of
from emer_edge.calibration.measurement import model_session
from emer_edge.core.errors import BundleError
from emer_edge.core.whole_file import scratch_folder
from emer_edge.export.parts.graph import GraphIndex

_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operator -> which input holds the weights."""
_PRODUCTS: Final = re.compile("(Fused|QLinear|DynamicQuantize)?MatMul|MatMulInteger(ToFloat)?|Q?Gemm")
_RECURRENT: Final = frozenset({"LSTM", "DynamicQuantizeLSTM"})
_FLOATING: Final = frozenset({"Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "LSTM"})
_GATES: Final = 4

Shape = Sequence[int]


@dataclass(frozen=True)
class ProductMacs:
    """One product of a part: its node's name, its MACs for a batch of one, and whether it multiplies 8-bit numbers."""

    name: str
    macs: int
    int8: bool


def count_macs(model: onnx.ModelProto) -> tuple[ProductMacs, ...]:
    """Count the MACs of convolutions, matrix products and LSTMs of an ONNX part, a batch of one, in graph order."""
    index = GraphIndex(model)
    others = _RECURRENT | set(_CONVOLUTIONS)
    nodes = [node for node in model.graph.node if node.op_type in others or _PRODUCTS.fullmatch(node.op_type)]
    shapes = _shapes(model, index, nodes)
    products = []
    for node in nodes:
        fed = all(map(index.dequantised, node.input[:2]))
        int8 = node.op_type not in _FLOATING or (fed and node.op_type != "LSTM")
        products.append(ProductMacs(node.name, _macs(node, shapes), int8))
    return tuple(products)


def macs_of_variant(path: Path, variant: Variant) -> tuple[ProductMacs, ...]:
    """Count the MACs of a part's file as its variant runs it (see the module's first lines)."""
    return count_macs(_as_run(path) if variant == CPU else onnx.load(path))


def int8_shares(parts: Mapping[str, Path]) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
    """Share of INT8 MACs, and the MACs, of parts: `cpu/face_encoder`, `cpu/fusion` and so on -> ONNX file.

    Returns:
        As `with_steps`.
    """
    counts = {}
    for key, path in parts.items():
        products = macs_of_variant(path, CPU if key.startswith(f"{CPU}/") else TENSORRT)
        int8 = sum(product.macs for product in products if product.int8)
        counts[key] = {"total": sum(product.macs for product in products), "int8": int8}
    return with_steps(counts)


def with_steps(parts: Mapping[str, Mapping[str, int]]) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
    """Add up the MACs of each variant's step: one crop encoded and one fusion of every network.

    Args:
        parts: `cpu/face_encoder` and so on -> MACs under `total` and `int8`.

    Returns:
        The same keys, and `cpu/step` and `tensorrt/step`, -> share of INT8, 0 to 1; and the keys -> MACs.
    """
    counts: dict[str, dict[str, int]] = {}
    for key, part in parts.items():
        counts[key] = dict(part)
        if role_of(key) != key:
            continue  # a further precision's
        step = counts.setdefault(f"{key.partition('/')[0]}/step", dict.fromkeys(part, 0))
        for kind, count in part.items():
            step[kind] += count
    return {key: round(count["int8"] / max(count["total"], 1), 4) for key, count in counts.items()}, counts


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
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
    inner = {name for node in nodes for name in (*node.input, node.output[0]) if name in index.producer}
    session = model_session(model, optimised=False, also=sorted(inner))
    zeros: dict[str, NDArray[np.float32]] = {
        value.name: np.zeros([size if isinstance(size, int) else 1 for size in value.shape], np.float32)
        for value in session.get_inputs()
    }
    names = [output.name for output in session.get_outputs()]
    shapes: dict[str, Shape] = {name: x.shape for name, x in zip(names, session.run(names, zeros), strict=True)}
    shapes |= {name: values.shape for name, values in zeros.items()}
    return shapes | {name: tuple(constant.dims) for name, constant in index.constants.items()}


def _as_run(path: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of a part, short of the machine's own memory layouts."""
    with scratch_folder() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no public base
            raise BundleError(f"ONNX Runtime can't store its graph of {path.name} in {folder}: {error}") from None
        return onnx.load(options.optimized_model_filepath)
