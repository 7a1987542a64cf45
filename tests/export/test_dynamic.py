from __future__ import annotations

from pathlib import Path
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
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.variants import precisions_of, write_parts
from emer_edge.model.emert import Emert

LSTMS = [f"{stream}_lstm.{layer}" for stream in ("eye", "gaze") for layer in range(3)]
WIDE = [f"layer{layer}.attention.{product}" for layer in range(2) for product in ("ask", "answer")]


@pytest.fixture(scope="module")
def published() -> Emert:
    model = Emert("discrete", ("er-7",)).eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in stand_in.published_state_dict("discrete").items()})
    return model


def windows(count: int = 2) -> dict[str, NDArray[np.float32]]:
    eye, gaze = eye_rows(count, 5)
    embeddings = np.random.default_rng(1).normal(size=(count, 8, 128)).astype(np.float32)
    return {"embeddings": embeddings, "eye": eye, "gaze": gaze}


def operators(part: onnx.ModelProto) -> dict[str, str]:
    return {each.name: each.op_type for each in part.graph.node}


def test_lstms_and_wide_products_are_quantised_and_stay_close(fusion_part: onnx.ModelProto, run: Any) -> None:
    assert sorted(quantisable_products(fusion_part)) == sorted(LSTMS + WIDE)
    small = quantise_products(fusion_part)
    onnx.checker.check_model(small, full_check=True)
    assert {each.domain: each.version for each in small.opset_import} == {"": 17, "com.microsoft": 1}
    assert {operators(small)[name] for name in LSTMS} == {"DynamicQuantizeLSTM"}
    assert {operators(small)[name] for name in WIDE} == {"DynamicQuantizeMatMul"}
    assert small.ByteSize() < 0.45 * fusion_part.ByteSize()
    got, expected = run(small, windows()), run(fusion_part, windows())
    for name, value in expected.items():
        assert 0 < np.abs(got[name] - value).max() < 0.02 * np.abs(value).max()


def test_one_wild_cell_leaves_the_others_readable(fusion_part: onnx.ModelProto, run: Any) -> None:
    given = windows()
    given["eye"][:, :, 32] = 200_000.0  # an event of minutes: as raw columns' range it would make the step 784
    got, expected = run(quantise_products(fusion_part), given), run(fusion_part, given)
    moved = {**given, "eye": given["eye"].copy()}
    moved["eye"][:, 8:, :8] += 40.0
    after = run(quantise_products(fusion_part), moved)
    for name, value in expected.items():
        assert np.abs(got[name] - value).max() < 0.02 * np.abs(value).max()
    assert any(np.abs(after[name] - got[name]).max() > 1e-4 for name in expected)


def test_products_are_kept_by_name(fusion_part: onnx.ModelProto, run: Any) -> None:
    untouched = quantise_products(fusion_part, LSTMS + WIDE)
    assert operators(untouched) == operators(fusion_part)
    half = operators(quantise_products(fusion_part, ["eye_lstm.0"]))
    assert half["eye_lstm.0"] == "LSTM"
    assert half["gaze_lstm.0"] == "DynamicQuantizeLSTM"
    with pytest.raises(ConfigurationError, match=r"head\.er-7"):
        quantise_products(fusion_part, ["head.er-7"])


def test_raw_columns_are_never_quantised(published: Emert) -> None:
    part = fusion(published)
    assert quantisable_products(part) == ()
    assert quantise_products(part) == part
    assert precisions_of("int8", part)["cpu/fusion"] == "fp32"


def test_fusion_is_int8_on_cpus_only(
    nine: Emert, encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, tmp_path: Path
) -> None:
    precisions = precisions_of("int8", fusion_part)
    assert (precisions["cpu/fusion"], precisions["tensorrt/fusion"]) == ("int8", "fp16")

    def target(name: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        return tmp_path / name

    parts = write_parts(target, encoder_part, fusion_part, "int8", None, keep=["gaze_lstm.2"])
    cpu, tensorrt = (operators(onnx.load(parts[f"{each}/fusion"])) for each in ("cpu", "tensorrt"))
    assert cpu["eye_lstm.2"] == "DynamicQuantizeLSTM"
    assert cpu["gaze_lstm.2"] == "LSTM"
    assert tensorrt["eye_lstm.2"] == "LSTM"
    assert precisions_of("fp16", fusion_part)["cpu/fusion"] == "fp32"


def test_published_fusion_of_an_int8_export_equals_torch(published: Emert, tmp_path: Path, run: Any) -> None:
    encoder = face_encoder(published)
    parts = write_parts(lambda name: tmp_path / name.replace("/", "-"), encoder, fusion(published), "int8", None)
    given = windows()
    with torch.inference_mode():
        expected = published.fuse(*(torch.from_numpy(each) for each in given.values()))["er-7"].numpy()
    got = run(onnx.load(parts["cpu/fusion"]), given)["er-7"]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
