from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emer_edge.export.choosing.timing import time_steps
from emer_edge.export.precision.dynamic import quantise_products
from emer_edge.export.precision.int8 import quantise
from emer_edge.export.precision.macs import count_macs, int8_shares, macs_of_variant


def test_products_are_counted_by_hand() -> None:
    """3x3 convolution of 2 groups, a product with a constant, a Gemm with a turned left side, a two-way LSTM."""
    constants = {
        "kernel": np.zeros((6, 2, 3, 3), np.float32),
        "right": np.zeros((5, 7), np.float32),
        "low": np.zeros((4, 3), np.float32),
        "w": np.zeros((2, 12, 5), np.float32),
        "r": np.zeros((2, 12, 3), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"], name="conv", group=2, pads=[1, 1, 1, 1]),
        helper.make_node("MatMul", ["rows", "right"], ["product"], name="product"),
        helper.make_node("Gemm", ["left", "low"], ["gemm"], name="gemm", transA=1),
        helper.make_node("LSTM", ["rows", "w", "r"], ["lstm"], name="lstm", hidden_size=3, direction="bidirectional"),
    ]
    inputs = {"image": ["N", 4, 8, 8], "rows": [6, "N", 5], "left": [4, 9]}
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("conv", "product", "gemm", "lstm")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert {each.name: each.macs for each in count_macs(model)} == {
        "conv": 6 * 64 * 2 * 9,
        "product": 6 * 5 * 7,
        "gemm": 9 * 4 * 3,
        "lstm": 6 * 2 * 4 * 3 * (5 + 3),
    }
    assert not any(each.int8 for each in count_macs(model))


def test_the_encoder_has_the_operations_of_resnet_18(encoder_part: onnx.ModelProto) -> None:
    assert sum(each.macs for each in count_macs(encoder_part)) == 484_913_152


@pytest.mark.parametrize("variant", ["cpu", "tensorrt"])
def test_layers_kept_high_take_their_share_out_of_int8(
    encoder_part: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]], tmp_path: Path, variant: str
) -> None:
    total = {each.name: each.macs for each in count_macs(encoder_part)}
    path = tmp_path / "encoder.onnx"
    kept = ("layer1.0.conv1", "layer1.0.conv2", "layer1.0.add")
    for keep, lost in (((), 0), (kept, total[kept[0]] + total[kept[1]])):
        path.write_bytes(quantise(encoder_part, ranges, variant, keep).SerializeToString())  # type: ignore[arg-type]
        found = macs_of_variant(path, variant)  # type: ignore[arg-type]
        assert sum(each.macs for each in found) == sum(total.values())
        assert sum(each.macs for each in found if each.int8) == sum(total.values()) - total["projection"] - lost


def test_a_step_is_a_crop_and_a_fusion(
    encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, tmp_path: Path
) -> None:
    models = {"face_encoder": encoder_part, "fusion": fusion_part}
    for name, model in {**models, "quantised": quantise_products(fusion_part)}.items():
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    parts = {"cpu/face_encoder": tmp_path / "face_encoder.onnx", "cpu/fusion": tmp_path / "quantised.onnx"}
    shares, counts = int8_shares(parts)
    assert shares["cpu/face_encoder"] == 0.0
    assert shares["cpu/fusion"] > 0.5
    assert counts["cpu/step"]["total"] == counts["cpu/face_encoder"]["total"] + counts["cpu/fusion"]["total"]
    assert counts["cpu/step"]["int8"] == counts["cpu/fusion"]["int8"]


def test_candidates_are_timed_side_by_side(
    encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, tmp_path: Path
) -> None:
    for name, model in (("a", encoder_part), ("b", fusion_part), ("c", quantise_products(fusion_part))):
        (tmp_path / name).write_bytes(model.SerializeToString())
    full = {"cpu/face_encoder": tmp_path / "a", "cpu/fusion": tmp_path / "b"}
    other = {**full, "cpu/fusion": tmp_path / "c"}
    found = time_steps({"fp32": full, "again": dict(full), "int8": other}, rounds=4, engine="onnxruntime")
    assert found.times["again"] is found.times["fp32"]
    assert {each.count for times in found.times.values() for each in times.values()} == {4}
    for times in found.times.values():
        assert times["step"].max_ms <= times["face_encoder"].max_ms + times["fusion"].max_ms + 1e-6
    assert found.to_builtins()["times"]["int8"]["step"]["count"] == 4
