"""The rule for TensorRT parts, read off the file without the package onnx, against what onnx itself writes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emer_edge.bundle.tensorrt_rule import ensure_buildable, tensorrt_faults
from emer_edge.core.errors import BundleError

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def model(*nodes: onnx.NodeProto, output: int = FLOAT, **constants: Any) -> onnx.ModelProto:
    """A graph from x (FLOAT, N x 4) to y; constants by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", output, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def faults(*nodes: onnx.NodeProto, output: int = FLOAT, **constants: Any) -> list[str]:
    return tensorrt_faults(model(*nodes, output=output, **constants).SerializeToString())


def recurrent(op: str, states: list[str], kind: Any = np.float32) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    constants = {
        "axis": np.array([0]),
        "w": np.zeros((1, gates * 2, 4), np.float32),
        "r": np.zeros((1, gates * 2, 2), np.float32),
        "zeros": np.zeros((1, 1, 2), kind),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["t"], name="t"),
        helper.make_node(op, ["t", "w", "r", "", "", *states], ["y"], name="memory", hidden_size=2),
    ]
    return nodes, constants


@pytest.mark.case(
    "an LSTM, GRU or RNN without initial states in a part for TensorRT",
    source="",
    before="wrote and shipped it: FP16 parts would not build with TensorRT 10.1 to 10.6",
)
@pytest.mark.parametrize(
    ("op", "states", "missing"),
    [
        ("LSTM", [], "no initial_h and no initial_c"),
        ("LSTM", ["zeros"], "no initial_c"),
        ("LSTM", ["", "zeros"], "no initial_h"),
        ("LSTM", ["zeros", "zeros"], ""),
        ("GRU", [], "no initial_h"),
        ("GRU", ["zeros"], ""),
        ("RNN", [], "no initial_h"),
    ],
)
def test_recurrent_operators_need_their_states(op: str, states: list[str], missing: str) -> None:
    nodes, constants = recurrent(op, states)
    found = faults(*nodes, **constants)
    assert found == ([f"{op} memory has {missing}"] if missing else [])


@pytest.mark.case(
    "initial states of another type than the LSTM's in a part for TensorRT",
    source="",
    before="left it to TensorRT on the device, whose sentence names a layer of its own",
)
def test_states_of_another_type_are_named() -> None:
    nodes, constants = recurrent("LSTM", ["zeros", "zeros"], np.float16)
    assert faults(*nodes, **constants) == [
        "LSTM memory joins two types: t is FLOAT, w is FLOAT, r is FLOAT, zeros is HALF"
    ]


@pytest.mark.case(
    "two floating types that meet in a node of a part for TensorRT",
    source="",
    before="left it to TensorRT on the device, whose sentence names a layer of its own",
)
def test_types_are_equal_at_every_join() -> None:
    cast = helper.make_node("Cast", ["x"], ["h"], name="cast", to=HALF)
    moved = helper.make_node("Transpose", ["h"], ["turned"], name="turn")
    joined = helper.make_node("MatMul", ["x", "turned"], ["y"], name="product")
    assert faults(cast, moved, joined) == ["MatMul product joins two types: x is FLOAT, turned is HALF"]
    back = helper.make_node("Cast", ["turned"], ["f"], name="back", to=FLOAT)
    assert faults(cast, moved, back, helper.make_node("MatMul", ["x", "f"], ["y"], name="product")) == []
    assert faults(helper.make_node("Cast", ["x"], ["y"], to=HALF)) == [
        "the output y is declared another type than it has"
    ]
    assert faults(helper.make_node("Cast", ["x"], ["y"], to=HALF), output=HALF) == []
    scaled = helper.make_node("QuantizeLinear", ["h", "s", "z"], ["y"], name="q")
    found = faults(cast, scaled, output=TensorProto.INT8, s=np.float32(1), z=np.int8(0))
    assert found == ["QuantizeLinear q joins two types: h is HALF, s is FLOAT"]


def test_numbers_that_are_no_values_may_be_of_any_type() -> None:
    resized = helper.make_node("Resize", ["h", "", "sizes"], ["r"], name="resize", mode="nearest")
    cast = helper.make_node("Cast", ["x"], ["h"], name="cast", to=HALF)
    shaped = helper.make_node("Reshape", ["r", "shape"], ["y"], name="shaped")
    constants = {"sizes": np.array([1.0, 2.0], np.float32), "shape": np.array([-1])}
    assert faults(cast, resized, shaped, output=HALF, **constants) == []
    size = [
        helper.make_node("Shape", ["x"], ["size"], name="size"),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"], value=helper.make_tensor("v", FLOAT, [1], [0.0])),
        helper.make_node("Less", ["x", "zeros"], ["below"], name="less"),
        helper.make_node("Where", ["below", "zeros", "x"], ["y"], name="where"),
    ]
    assert faults(*size) == []


@pytest.mark.case(
    "a part for TensorRT that is cut short or no ONNX file",
    source="",
    before="left it to TensorRT's parser on the device",
)
def test_bytes_that_are_no_part_are_said() -> None:
    whole = model(helper.make_node("Relu", ["x"], ["y"], name="relu")).SerializeToString()
    for content in (b"", b"\xff" * 40, b"not a network", whole[: len(whole) // 2], whole[:-3]):
        with pytest.raises(BundleError, match="not an ONNX file"):
            tensorrt_faults(content)
    with pytest.raises(BundleError, match=r"tensorrt/fusion.onnx: it is not an ONNX file. Export it again"):
        ensure_buildable({"fusion": whole[:-3], "other": whole})


def test_it_is_checked_without_onnx() -> None:
    code = "import sys, emer_edge.bundle.tensorrt_rule; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
