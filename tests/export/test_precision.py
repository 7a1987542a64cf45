from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import stand_in
import torch
from described import eye_rows, smooth_crops
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.qdq_rules import find_qdq_violations
from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.parts.graph import GraphIndex
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.int8 import (
    activations_to_quantise,
    first_convolution_on_blocks,
    quantisable_layers,
    quantise,
    round_preserving_sums,
)
from emer_edge.export.precision.writing import precisions_of, write_parts
from emer_edge.export.verification import noise_db
from emer_edge.model.emert import Emert


@pytest.mark.parametrize("style", ["cpu", "tensorrt"])
def test_embedding_survives(style: Any, encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    expected = run(encoder_part, {"face": crops})["embedding"]
    got = run(quantise(encoder_part, ranges, style), {"face": crops})["embedding"]
    assert noise_db(got, expected) > {"cpu": 15, "tensorrt": 12}[style]


def test_tensorrt_graph_has_no_violation(encoder_part: onnx.ModelProto, ranges: Any) -> None:
    assert find_qdq_violations(quantise(encoder_part, ranges, "tensorrt")) == []
    assert find_qdq_violations(encoder_part) == []


@pytest.mark.filterwarnings("ignore:.mapping[.]:DeprecationWarning")  # ONNX Runtime 1.18 on a newer onnx
def test_violations_are_counted_in_onnxruntimes_symmetric_graph(encoder_part: onnx.ModelProto, tmp_path: Any) -> None:
    class Crops(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = [{"face": smooth_crops(2, 4)}]

        def get_next(self) -> Any:
            return self._left.pop() if self._left else None

    onnx.save(encoder_part, str(tmp_path / "fp32.onnx"))
    quantize_static(
        str(tmp_path / "fp32.onnx"),
        str(tmp_path / "int8.onnx"),
        Crops(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True},
    )
    violations = find_qdq_violations(onnx.load(str(tmp_path / "int8.onnx")))
    assert sum("and its Relu" in violation for violation in violations) == 17
    assert sum("quantised bias" in violation for violation in violations) >= 20


def test_cpu_graph_is_unsigned_with_integer_biases(encoder_part: onnx.ModelProto, ranges: Any) -> None:
    index = GraphIndex(quantise(encoder_part, ranges, "cpu"))
    assert index.array("layer1.0.relu1.zero").dtype == np.uint8
    assert index.array("layer1.0.relu1.zero") == 0
    assert index.array("layer1.0.conv1.weight.q").dtype == np.int8
    assert index.array("layer1.0.conv1.bias.q").dtype == np.int32
    assert index.array("face.scale") == np.float32(1 / 255)


@pytest.mark.parametrize("style", ["cpu", "tensorrt"])
def test_kept_layers_stay_in_floating_point(
    style: Any, encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any
) -> None:
    layers = quantisable_layers(encoder_part)
    assert len(layers) == 28
    nothing = quantise(encoder_part, ranges, style, keep=layers)
    assert not any("Quantize" in node.op_type for node in nothing.graph.node)
    mixed = quantise(encoder_part, ranges, style, keep={"conv1", "layer1.0.conv1"})
    index = GraphIndex(mixed)
    assert index.producer["conv1"].input[0] == "face"
    assert index.producer["conv1"].input[1] == "conv1.weight"
    expected = run(encoder_part, {"face": crops})["embedding"]
    assert noise_db(run(mixed, {"face": crops})["embedding"], expected) > 12
    if style == "tensorrt":
        assert find_qdq_violations(mixed) == []


def test_dead_channel_keeps_its_bias(encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(encoder_part)
    for constant in changed.graph.initializer:
        if constant.name == "layer4.1.conv2.weight":
            weight = onnx.numpy_helper.to_array(constant).copy()
            weight[0] = 0.0
            constant.CopyFrom(onnx.numpy_helper.from_array(weight, constant.name))
        elif constant.name == "layer4.1.conv2.bias":
            bias = onnx.numpy_helper.to_array(constant).copy()
            bias[0] = 3.0
            constant.CopyFrom(onnx.numpy_helper.from_array(bias, constant.name))
    index = GraphIndex(quantise(changed, ranges, "cpu"))
    value = index.array("layer4.1.conv2.bias.q")[0] * index.array("layer4.1.conv2.bias.scale")[0]
    assert value == pytest.approx(3.0, rel=1e-3)


def test_unknown_layer_and_missing_range(encoder_part: onnx.ModelProto, ranges: Any) -> None:
    with pytest.raises(ConfigurationError, match="layer9"):
        quantise(encoder_part, ranges, "cpu", keep={"layer9"})
    with pytest.raises(ConfigurationError, match="relu"):
        quantise(encoder_part, {}, "cpu")


def test_all_residual_inputs_are_quantised(encoder_part: onnx.ModelProto) -> None:
    for style, count in (("cpu", 2), ("tensorrt", 1)):
        users = [name for names in activations_to_quantise(encoder_part, style).values() for name in names]  # type: ignore[arg-type]
        assert users.count("layer1.0.add") == users.count("layer2.0.add") == count


def test_rounding_keeps_sums() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(0, 20, (500, 9))
    rounded = round_preserving_sums(given)
    assert np.abs((rounded - given).sum(axis=1)).max() <= 0.5 + 1e-9
    assert np.abs(rounded - given).max() < 1
    assert (rounded == np.rint(rounded)).all()


def test_encoder_gives_the_same_numbers(encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    plain = quantise(encoder_part, ranges, "cpu")
    onnx.checker.check_model(blocks := first_convolution_on_blocks(plain), full_check=True)
    assert GraphIndex(blocks).array("conv1.weight.q").shape == (64, 12, 4, 4)
    for batch in (crops, crops[:1]):
        expected, got = (run(model, {"face": batch})["embedding"] for model in (plain, blocks))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (3, 7), (9, 5)])
def test_any_odd_kernel_gives_the_same_numbers(kernel: tuple[int, int], run: Any) -> None:
    rng = np.random.default_rng(3)
    plain = quantised_convolution(rng, kernel, [2, 2], [side // 2 for side in kernel] * 2)
    blocks = first_convolution_on_blocks(plain)
    assert [node.op_type for node in blocks.graph.node][:2] == ["SpaceToDepth", "QuantizeLinear"]
    image = (rng.integers(0, 256, (2, 3, 20, 14)) / 255).astype(np.float32)
    # Nothing is quantised after it, so that ONNX Runtime sums in floating point, in another order.
    expected, got = (run(model, {"image": image})["made"] for model in (plain, blocks))
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
    return {node.name: node.op_type for node in part.graph.node}


def test_lstms_and_wide_products_are_quantised_and_stay_close(fusion_part: onnx.ModelProto, run: Any) -> None:
    assert sorted(quantisable_products(fusion_part)) == sorted(LSTMS + WIDE)
    small = quantise_products(fusion_part)
    onnx.checker.check_model(small, full_check=True)
    assert {opset.domain: opset.version for opset in small.opset_import} == {"": 17, "com.microsoft": 1}
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

    parts = write_parts(tmp_path, (encoder_part, fusion_part), "int8", keep=["gaze_lstm.2"])
    cpu, tensorrt = (operators(onnx.load(parts[f"{variant}/fusion"])) for variant in ("cpu", "tensorrt"))
    assert cpu["eye_lstm.2"] == "DynamicQuantizeLSTM"
    assert cpu["gaze_lstm.2"] == "LSTM"
    assert "LSTM" not in tensorrt.values()
    assert precisions_of("fp16", fusion_part)["cpu/fusion"] == "fp32"


def test_published_fusion_of_an_int8_export_equals_torch(published: Emert, tmp_path: Path, run: Any) -> None:
    parts = write_parts(tmp_path, (face_encoder(published), fusion(published)), "int8")
    given = windows()
    with torch.inference_mode():
        expected = published.fuse(*(torch.from_numpy(array) for array in given.values()))["er-7"].numpy()
    got = run(onnx.load(parts["cpu/fusion"]), given)["er-7"]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
