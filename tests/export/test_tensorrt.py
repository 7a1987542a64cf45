from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.qdq_rules import find_qdq_violations
from benchmarks.unrolled_lstms import unrolled_lstms
from emer_edge.calibration.measurement import collect_histograms, ranges_of
from emer_edge.core.errors import EngineError
from emer_edge.export.parts.face_parts import load_detector
from emer_edge.export.parts.fusion import fusion, high_precision_nodes
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.int8 import activations_to_quantise, quantise
from emer_edge.export.verification import check_parts
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines.tensorrt.builder import build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt

needs_tensorrt = pytest.mark.skipif(find_tensorrt() is None, reason="neither tensorrt nor tensorrt_rtx is installed")


def built(model: onnx.ModelProto, folder: Path) -> int:
    path = folder / "part.onnx"
    path.write_bytes(model.SerializeToString())
    return len(build_plan(path).plan)


@pytest.fixture(scope="module")
def detector_ranges() -> dict[str, tuple[float, float]]:
    part = load_detector()
    model, record = part.parts["face_detector"], part.record
    shape = (1, 3, record.height_px, record.width_px)
    images = [np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32) for seed in (1, 2)]
    name = model.graph.input[0].name
    tensors = sorted(activations_to_quantise(model, "tensorrt"))
    return ranges_of(collect_histograms(model, tensors, [{name: image} for image in images]), "minmax")


@needs_tensorrt
def test_face_encoder_builds_in_every_precision(encoder_part: onnx.ModelProto, ranges: Any, tmp_path: Path) -> None:
    full = built(encoder_part, tmp_path)
    half = built(to_fp16(encoder_part, {"projection"}), tmp_path)
    eighth = quantise(encoder_part, ranges, "tensorrt")
    assert find_qdq_violations(eighth) == []
    assert full > 1.5 * half > 2 * built(eighth, tmp_path)


@needs_tensorrt
@pytest.mark.parametrize(("variant", "form"), [("nine", None), ("discrete", None), ("nine", unrolled_lstms)])
def test_fusion_builds_in_fp32_and_fp16(variant: str, form: Any, nine: Emert, tmp_path: Path) -> None:
    part = fusion(nine if variant == "nine" else Emert("discrete", ("er-7",)).eval(), form)
    assert find_qdq_violations(part) == []
    assert built(part, tmp_path) > 0
    assert built(to_fp16(part, high_precision_nodes(part)), tmp_path) > 0


@needs_tensorrt
def test_every_detector_part_builds(tmp_path: Path) -> None:
    for model in load_detector().parts.values():
        assert built(model, tmp_path) > 0


@needs_tensorrt
def test_detector_builds_in_fp16_and_int8(detector_ranges: Any, tmp_path: Path) -> None:
    model = load_detector().parts["face_detector"]
    eighth = quantise(model, detector_ranges, "tensorrt")
    assert find_qdq_violations(eighth) == []
    assert built(to_fp16(model), tmp_path) > 0
    assert built(eighth, tmp_path) > 0


@needs_tensorrt
def test_parts_are_checked_one_by_one(tmp_path: Path, fusion_part: onnx.ModelProto) -> None:
    good, bad = tmp_path / "fusion.onnx", tmp_path / "odd.onnx"
    good.write_bytes(fusion_part.SerializeToString())
    bad.write_bytes(unknown_operator().SerializeToString())
    calls: list[tuple[str, int, int]] = []
    checks = check_parts({"fusion": good, "odd": bad}, lambda *step: calls.append(step))
    assert checks is not None
    assert [check.ok for check in checks] == [True, False]
    assert "Frobnicate" in checks[1].error
    assert calls == [("building with TensorRT", 1, 2), ("building with TensorRT", 2, 2)]


@needs_tensorrt
def test_refused_part_names_its_node_and_what_the_parser_says(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"can't parse part\.onnx: .*[Pp]lugin not found.*\(node the_culprit"):
        built(unknown_operator(), tmp_path)


@needs_tensorrt
def test_zero_points_are_refused_by_node(tmp_path: Path, encoder_part: onnx.ModelProto, ranges: Any) -> None:
    """The cpu variant's unsigned activations are what TensorRT can't take: a bundle must never mix them up."""
    with pytest.raises(EngineError, match=r"can't parse part\.onnx: .*Int32.*\(node conv1"):
        built(quantise(encoder_part, ranges, "cpu"), tmp_path)


def unknown_operator() -> onnx.ModelProto:
    helper = onnx.helper
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_culprit", domain="example")
    graph = helper.make_graph(
        [node], "odd", [x], [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example", 1)])
