from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import stand_in
import torch
from export_inputs import eye_rows
from numpy.typing import NDArray

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts import face_encoder, fusion
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.model.emert import Emert
from emer_edge.model.parts import FaceEncoderPart, FusionPart
from emer_edge.spec.heads import HEADS as HEAD_NAMES

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


def test_nine_heads_equal_torch(
    nine: Emert, encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, crops: Any, run: Any
) -> None:
    with torch.inference_mode():
        expected = FaceEncoderPart(nine)(torch.from_numpy(crops)).numpy()
    assert largest_error(run(encoder_part, {"face": crops})["embedding"], expected) < 1e-5
    embeddings = expected.reshape(2, 8, 128)
    eye, gaze = eye_rows(2, 5)
    with torch.inference_mode():
        values = FusionPart(nine)(*(torch.from_numpy(each) for each in (embeddings, eye, gaze)))
    outputs = run(fusion_part, {"embeddings": embeddings, "eye": eye, "gaze": gaze})
    assert tuple(outputs) == nine.head_names
    for name, value in zip(nine.head_names, values, strict=True):
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
    assert all(each.type.tensor_type.shape.dim[0].dim_param == "N" for each in model.graph.input)
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
    kinds = {each.name: each.data_type for each in half.graph.initializer}
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
    unrolled = fusion(model, lstm="unrolled")
    assert not {"LSTM", "Loop", "Scan"} & {node.op_type for node in unrolled.graph.node}
    with torch.inference_mode():
        expected = model.fuse(*(torch.from_numpy(each) for each in given.values()))
    got = run(unrolled, given)
    for name, value in expected.items():
        assert largest_error(got[name], value.numpy()) < 1e-5


def test_unrolled_lstms_keep_products_of_columns_in_fp32(nine: Emert, run: Any) -> None:
    unrolled = fusion(nine, lstm="unrolled")
    half = to_fp16(unrolled, high_precision_nodes(unrolled))
    kinds = {each.name: each.data_type for each in half.graph.initializer}
    assert kinds["eye_lstm.0.W"] == kinds["gaze_lstm.0.W"] == onnx.TensorProto.FLOAT
    assert kinds["lstms.R.fp16"] == onnx.TensorProto.FLOAT16
    eye, gaze = eye_rows(2, 5)
    given = {"embeddings": np.zeros((2, 8, 128), np.float32), "eye": eye, "gaze": gaze}
    outputs = run(half, given)
    for name, value in run(unrolled, given).items():
        assert largest_error(outputs[name], value) < 0.01


def test_an_unknown_lstm_form_is_refused(nine: Emert) -> None:
    with pytest.raises(ConfigurationError, match="op or unrolled"):
        fusion(nine, lstm="rolled")  # type: ignore[arg-type]


def test_heads_share_their_products(fusion_part: onnx.ModelProto) -> None:
    products = [each for each in fusion_part.graph.node if each.name.startswith("head.") and each.op_type == "Gemm"]
    assert len(products) == 5  # one for the heads of one layer, four for those of four
    assert {each.name for each in fusion_part.graph.output} == set(HEAD_NAMES)
