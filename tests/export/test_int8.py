from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from export_inputs import smooth_crops
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphIndex
from emer_edge.export.precision.int8 import activations_to_quantise, quantisable_layers, quantise
from emer_edge.export.precision.rounding import round_preserving_sums
from emer_edge.export.precision.violations import count_qdq_violations, find_qdq_violations


def noise_db(got: Any, expected: Any) -> float:
    """Signal to quantisation noise; the signal is what differs between crops."""
    signal = expected - expected.mean(axis=0)
    return float(10 * np.log10((signal**2).sum() / ((got - expected) ** 2).sum()))


@pytest.mark.parametrize("style", ["cpu", "tensorrt"])
def test_embedding_survives(style: Any, encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    expected = run(encoder_part, {"face": crops})["embedding"]
    got = run(quantise(encoder_part, ranges, style), {"face": crops})["embedding"]
    assert noise_db(got, expected) > {"cpu": 15, "tensorrt": 12}[style]


def test_tensorrt_graph_has_no_violation(encoder_part: onnx.ModelProto, ranges: Any) -> None:
    assert find_qdq_violations(quantise(encoder_part, ranges, "tensorrt")) == []
    assert count_qdq_violations(encoder_part) == 0


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
    found = find_qdq_violations(onnx.load(str(tmp_path / "int8.onnx")))
    assert sum("and its Relu" in each for each in found) == 17
    assert sum("quantised bias" in each for each in found) >= 20


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
        assert count_qdq_violations(mixed) == 0


def test_dead_channel_keeps_its_bias(encoder_part: onnx.ModelProto, ranges: Any, crops: Any, run: Any) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(encoder_part)
    for each in changed.graph.initializer:
        if each.name == "layer4.1.conv2.weight":
            weight = onnx.numpy_helper.to_array(each).copy()
            weight[0] = 0.0
            each.CopyFrom(onnx.numpy_helper.from_array(weight, each.name))
        elif each.name == "layer4.1.conv2.bias":
            bias = onnx.numpy_helper.to_array(each).copy()
            bias[0] = 3.0
            each.CopyFrom(onnx.numpy_helper.from_array(bias, each.name))
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
