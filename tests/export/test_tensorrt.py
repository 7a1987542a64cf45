from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from emer_edge.errors import EngineError
from emer_edge.export.detector import load_detector
from emer_edge.export.parts import fusion
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.int8 import quantise
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines.tensorrt_builder import build_plan, find_tensorrt

needs_tensorrt = pytest.mark.skipif(find_tensorrt() is None, reason="neither tensorrt nor tensorrt_rtx is installed")


def built(model: onnx.ModelProto, folder: Path) -> int:
    path = folder / "part.onnx"
    path.write_bytes(model.SerializeToString())
    return len(build_plan(path).plan)


@needs_tensorrt
def test_face_encoder_builds_in_every_precision(encoder_part: onnx.ModelProto, ranges: Any, tmp_path: Path) -> None:
    full = built(encoder_part, tmp_path)
    half = built(to_fp16(encoder_part, {"projection"}), tmp_path)
    eighth = built(quantise(encoder_part, ranges, "tensorrt"), tmp_path)
    assert full > 1.5 * half > 2 * eighth


@needs_tensorrt
@pytest.mark.parametrize("variant", ["nine", "discrete"])
def test_fusion_builds_in_fp32_and_fp16(variant: str, nine: Emert, tmp_path: Path) -> None:
    part = fusion(nine if variant == "nine" else Emert("discrete", ("er-7",)).eval())
    assert built(part, tmp_path) > 0
    assert built(to_fp16(part, high_precision_nodes(part)), tmp_path) > 0


@needs_tensorrt
def test_unrolled_fusion_builds_in_fp32_and_fp16(nine: Emert, tmp_path: Path) -> None:
    part = fusion(nine, lstm="unrolled")
    full = built(part, tmp_path)
    assert full > built(to_fp16(part, high_precision_nodes(part)), tmp_path) > 0


@needs_tensorrt
def test_detector_builds(tmp_path: Path) -> None:
    assert built(load_detector().model, tmp_path) > 0


@needs_tensorrt
def test_refused_part_names_its_node(tmp_path: Path) -> None:
    helper = onnx.helper
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_culprit", domain="example")
    graph = helper.make_graph(
        [node], "odd", [x], [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example", 1)])
    with pytest.raises(EngineError, match=r"part\.onnx.*the_culprit"):
        built(model, tmp_path)
