from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emer_edge.export.parts.graph import GraphIndex
from emer_edge.export.precision.blocks import first_convolution_on_blocks
from emer_edge.export.precision.int8 import quantise


def test_encoder_gives_the_same_numbers(encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    plain = quantise(encoder_part, ranges, "cpu")
    onnx.checker.check_model(blocks := first_convolution_on_blocks(plain), full_check=True)
    assert GraphIndex(blocks).array("conv1.weight.q").shape == (64, 12, 4, 4)
    for batch in (crops, crops[:1]):
        expected, got = (run(each, {"face": batch})["embedding"] for each in (plain, blocks))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (3, 7), (9, 5)])
def test_any_odd_kernel_gives_the_same_numbers(kernel: tuple[int, int], run: Any) -> None:
    rng = np.random.default_rng(3)
    plain = quantised_convolution(rng, kernel, [2, 2], [each // 2 for each in kernel] * 2)
    blocks = first_convolution_on_blocks(plain)
    assert [each.op_type for each in blocks.graph.node][:2] == ["SpaceToDepth", "QuantizeLinear"]
    image = (rng.integers(0, 256, (2, 3, 20, 14)) / 255).astype(np.float32)
    # Nothing is quantised after it, so that ONNX Runtime sums in floating point, in another order.
    expected, got = (run(each, {"image": image})["made"] for each in (plain, blocks))
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [((7, 7), [1, 1], [3, 3, 3, 3]), ((7, 7), [2, 2], [2, 2, 2, 2]), ((4, 4), [2, 2], [2, 2, 2, 2])],
    ids=["stride", "padding", "even"],
)
def test_other_convolutions_stay(kernel: tuple[int, int], strides: list[int], pads: list[int]) -> None:
    plain = quantised_convolution(np.random.default_rng(4), kernel, strides, pads)
    assert first_convolution_on_blocks(plain) is plain


def test_a_convolution_in_floating_point_stays(encoder_part: onnx.ModelProto, ranges: Any) -> None:
    assert first_convolution_on_blocks(encoder_part) is encoder_part
    kept = quantise(encoder_part, ranges, "cpu", keep={"conv1"})
    assert first_convolution_on_blocks(kept) is kept


def quantised_convolution(
    rng: np.random.Generator, kernel: tuple[int, int], strides: list[int], pads: list[int]
) -> onnx.ModelProto:
    constants = {
        "scale": np.array(1 / 255, np.float32),
        "zero": np.array(0, np.uint8),
        "weight": rng.integers(-127, 128, (8, 3, *kernel)).astype(np.int8),
        "step": np.full(8, 0.01, np.float32),
        "none": np.zeros(8, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["image.q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["image.q", "scale", "zero"], ["image.dq"], name="dequantize"),
        helper.make_node(
            "DequantizeLinear", ["weight", "step", "none"], ["weight.dq"], name="weight.dequantize", axis=0
        ),
        helper.make_node(
            "Conv", ["image.dq", "weight.dq"], ["made"], name="conv", kernel_shape=kernel, strides=strides, pads=pads
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, ["N", 8, "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model
