from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emer_edge.export.choosing.candidates import Candidate, select, time_steps
from emer_edge.export.judging.gate import Change
from emer_edge.export.judging.trial import Trial
from emer_edge.export.precision.dynamic import quantise_products
from emer_edge.export.precision.int8 import quantise
from emer_edge.export.precision.macs import count_macs, int8_shares, macs_of_variant
from emer_edge.export.report.export_report import PartPrecision, Timing
from emer_edge.metrics.latency import LatencySummary, summarise

INTERVALS = {"passed": (-0.002, 0.004), "inconclusive": (-0.02, 0.03), "failed": (0.01, 0.09)}


def candidate(folder: Path, precision: PartPrecision, verdict: str, size: int) -> Candidate:
    path = folder / f"{precision}.onnx"
    path.write_bytes(bytes(size))
    low, high = INTERVALS[verdict]
    loss = (low + high) / 2
    change = Change("er-7/war", 0.8, 0.8 - loss, loss=loss, low=low, high=high, margin=0.01)
    trial = Trial({"er-7": np.zeros((2, 7), np.float32)}, (change,), unchanged=precision == "fp32")
    return Candidate(precision, {"cpu/fusion": path, "tensorrt/fusion": path}, (), {"cpu": trial})


def timing(**milliseconds: float) -> Timing:
    def taken(step_ms: float) -> dict[str, LatencySummary]:
        return dict.fromkeys(("face_encoder", "fusion", "step"), summarise([round(step_ms * 1e6)] * 5))

    times = {name: taken(step_ms) for name, step_ms in milliseconds.items()}
    return Timing(engine="onnxruntime", device="CPU, 1 thread", times=times)


@pytest.mark.parametrize(
    ("verdict", "int8_ms", "kept", "why"),
    [
        ("passed", 4.0, "int8", "kept, a step takes 4.00 ms, gate passed"),
        ("passed", 14.0, "fp16", "a step takes 14.00 ms, fp16 takes 11.00 ms"),
        ("inconclusive", 4.0, "fp16", "inconclusive (er-7/war 0.800 -> 0.795"),
        ("failed", 4.0, "fp16", "the gate fails: er-7/war 0.800 -> 0.750"),
    ],
    ids=["fastest", "slower", "inconclusive", "failed"],
)
def test_the_fastest_that_passed_is_kept(tmp_path: Path, verdict: str, int8_ms: float, kept: str, why: str) -> None:
    candidates = [
        candidate(tmp_path, "fp32", "passed", 400),
        candidate(tmp_path, "fp16", "passed", 200),
        candidate(tmp_path, "int8", verdict, 100),
    ]
    chosen, given, note = select(candidates, timing(fp32=12.0, fp16=11.0, int8=int8_ms), None, {})
    rows = {row.precision: row for row in given}
    assert chosen.precision == kept
    assert [name for name, row in rows.items() if row.kept] == [kept]
    assert why in rows["int8"].why
    assert rows["int8"].verdict == verdict
    assert (rows["int8"].step_ms, rows["int8"].steps, rows["int8"].bytes) == (int8_ms, 5, 100)
    assert note.startswith(f"auto keeps {kept}, ")


def test_of_equally_fast_ones_the_smaller_bundle_is_kept(tmp_path: Path) -> None:
    candidates = [candidate(tmp_path, "fp32", "passed", 400), candidate(tmp_path, "fp16", "passed", 200)]
    chosen, rows, _ = select(candidates, timing(fp32=12.0, fp16=12.0), None, {"int8": "no clips"})
    assert chosen.precision == "fp16"
    assert rows[2].why == "not tried: no clips"
    assert rows[2].step_ms is None


def test_fp32_is_kept_where_nothing_else_passed(tmp_path: Path) -> None:
    candidates = [candidate(tmp_path, "fp32", "failed", 400), candidate(tmp_path, "fp16", "failed", 200)]
    assert select(candidates, timing(fp32=12.0, fp16=6.0), None, {})[0].precision == "fp32"


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
    assert {product.name: product.macs for product in count_macs(model)} == {
        "conv": 6 * 64 * 2 * 9,
        "product": 6 * 5 * 7,
        "gemm": 9 * 4 * 3,
        "lstm": 6 * 2 * 4 * 3 * (5 + 3),
    }
    assert not any(product.int8 for product in count_macs(model))


def test_the_encoder_has_the_operations_of_resnet_18(encoder_part: onnx.ModelProto) -> None:
    assert sum(product.macs for product in count_macs(encoder_part)) == 484_913_152


@pytest.mark.parametrize("variant", ["cpu", "tensorrt"])
def test_layers_kept_high_take_their_share_out_of_int8(
    encoder_part: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]], tmp_path: Path, variant: str
) -> None:
    total = {product.name: product.macs for product in count_macs(encoder_part)}
    path = tmp_path / "encoder.onnx"
    kept = ("layer1.0.conv1", "layer1.0.conv2", "layer1.0.add")
    for keep, lost in (((), 0), (kept, total[kept[0]] + total[kept[1]])):
        path.write_bytes(quantise(encoder_part, ranges, variant, keep).SerializeToString())  # type: ignore[arg-type]
        counted = macs_of_variant(path, variant)  # type: ignore[arg-type]
        assert sum(product.macs for product in counted) == sum(total.values())
        assert (
            sum(product.macs for product in counted if product.int8) == sum(total.values()) - total["projection"] - lost
        )


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
    timed, notes = time_steps({"fp32": full, "again": dict(full), "int8": other}, rounds=4, engine="onnxruntime")
    assert timed.times["again"] is timed.times["fp32"]
    assert {latency.count for times in timed.times.values() for latency in times.values()} == {4}
    for times in timed.times.values():
        assert times["step"].max_ms <= times["face_encoder"].max_ms + times["fusion"].max_ms + 1e-6
    assert notes == ()
