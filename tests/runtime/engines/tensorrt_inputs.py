"""Small networks and machines for the TensorRT tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.runtime.engines.tensorrt.toolkit import Machine

ORIN = Machine(
    gpu="Orin", compute_capability="8.7", tensorrt="tensorrt 10.3.0", cuda="12.6", driver="540.4.0", l4t="36.4.0"
)


def write_network(
    folder: Path, name: str = "tiny", seed: int = 0, operator: str = "Relu", *, half: bool = False
) -> Path:
    """One convolution and an activation: x (N, 3, 8, 8) -> y (N, 4, 8, 8); both in FP16 if `half`."""
    weights = np.random.default_rng(seed).normal(size=(4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node(operator, ["c"], ["y"], name="last", domain="" if operator == "Relu" else "example"),
        ],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("example", 1)]
    model = helper.make_model(graph, opset_imports=domains)
    model.ir_version = 8
    if half:
        model = to_fp16(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    return path
