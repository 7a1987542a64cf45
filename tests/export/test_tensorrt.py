from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from described import smooth_crops
from older_importer import replay_lstm

from benchmarks.qdq_rules import find_qdq_violations
from benchmarks.tensorrt_forms import int8_forms, with_zero_states
from emer_edge.bundle.tensorrt_rule import tensorrt_faults
from emer_edge.calibration.measurement import collect_histograms, model_session, ranges_of
from emer_edge.core.errors import EngineError
from emer_edge.export.parts.face_parts import face_encoder, load_detector
from emer_edge.export.parts.fusion import fusion, high_precision_nodes
from emer_edge.export.parts.graph import GraphIndex
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.int8 import activations_to_quantise, quantise
from emer_edge.export.precision.writing import EncoderQuantiser, write_parts
from emer_edge.export.verification import check_parts, noise_db
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines.tensorrt.builder import build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt, load_toolkit

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
def test_the_separable_encoder_builds_in_every_precision(separable: Emert, tmp_path: Path) -> None:
    part = face_encoder(separable)
    tensors = sorted(activations_to_quantise(part, "tensorrt"))
    eighth = quantise(
        part, ranges_of(collect_histograms(part, tensors, [{"face": smooth_crops(8, 4)}]), "minmax"), "tensorrt"
    )
    assert find_qdq_violations(eighth) == []
    for each in (part, to_fp16(part, {"projection"}), eighth):
        assert built(each, tmp_path) > 0


@needs_tensorrt
@pytest.mark.parametrize("variant", ["nine", pytest.param("discrete", marks=pytest.mark.slow)])
def test_fusion_builds_in_fp32_and_fp16(variant: str, nine: Emert, tmp_path: Path) -> None:
    part = unroll_lstms(fusion(nine if variant == "nine" else Emert("discrete", ("er-7",)).eval()))
    assert find_qdq_violations(part) == []
    assert variant == "discrete" or built(part, tmp_path) > 0
    assert built(to_fp16(part, high_precision_nodes(part)), tmp_path) > 0


def test_every_part_written_for_tensorrt_keeps_the_rule(
    encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, ranges: Any, tmp_path: Path
) -> None:
    quantiser = EncoderQuantiser(encoder_part, {"unsigned": ranges, "signed": ranges}, [smooth_crops(2, 4)])
    for precision in ("fp32", "fp16", "int8"):
        parts = write_parts(tmp_path / precision, (encoder_part, fusion_part), precision, quantiser=quantiser)
        for name in ("face_encoder", "fusion"):
            content = parts[f"tensorrt/{name}"].read_bytes()
            assert tensorrt_faults(content) == []
            assert find_qdq_violations(onnx.load_from_string(content)) == []
            used = {node.op_type for node in onnx.load_from_string(content).graph.node}
            assert not used & {"LSTM", "GRU", "RNN", "Loop", "Scan", "If"}
            assert {each.version for each in onnx.load_from_string(content).opset_import} == {17}
    for model in load_detector().parts.values():
        assert tensorrt_faults(model.SerializeToString()) == tensorrt_faults(to_fp16(model).SerializeToString()) == []


@needs_tensorrt
def test_older_importers_refuse_fp16_lstms_without_states(fusion_part: onnx.ModelProto) -> None:
    """What bundles of 0.1.0 would have met on JetPack 6.1 and 6.2, and what states of the right type change."""
    half = to_fp16(fusion_part, high_precision_nodes(fusion_part) - {"eye_lstm.0"})
    assert "must have same input types" in (replay_lstm(half, 32) or "it was built")
    assert any("eye_lstm.0 has no initial_h" in fault for fault in tensorrt_faults(half.SerializeToString()))
    assert replay_lstm(half, 32, np.float16) is None  # from 10.15 on
    assert replay_lstm(with_zero_states(half), 32) is None
    assert tensorrt_faults(with_zero_states(half).SerializeToString()) == []
    assert "joins two types" in tensorrt_faults(with_zero_states(half, other_type=True).SerializeToString())[0]
    assert replay_lstm(fusion_part, 32) is None  # FP32 was never refused


@needs_tensorrt
def test_fusion_has_no_loop_so_that_a_cuda_graph_can_hold_it(fusion_part: onnx.ModelProto) -> None:
    toolkit = load_toolkit()

    def loops(model: onnx.ModelProto) -> int:
        network = toolkit.trt.Builder(toolkit.logger).create_network(toolkit.can.network_flags)
        assert toolkit.trt.OnnxParser(network, toolkit.logger).parse(model.SerializeToString())
        kinds = [network.get_layer(at).type for at in range(network.num_layers)]
        return kinds.count(toolkit.trt.LayerType.TRIP_LIMIT)

    assert (loops(fusion_part), loops(unroll_lstms(fusion_part))) == (6, 0)


@needs_tensorrt
def test_convolutions_of_the_int8_encoder_hand_fp16_on(
    encoder_part: onnx.ModelProto, ranges: Any, tmp_path: Path
) -> None:
    forms = {"before": quantise(encoder_part, ranges, "tensorrt")}
    forms["after"] = to_fp16(forms["before"], {"projection"})
    types = {}
    for name, model in forms.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        layers = build_plan(path).layers
        types[name] = Counter((layer.precision, *layer.outputs) for layer in layers if layer.convolves)
        assert sum(layer.requantises for layer in layers) <= 17
    assert types["before"] == {("int8", "fp32"): 20}
    assert types["after"] == {("int8", "fp16"): 20}


def test_a_step_and_a_gain_are_a_step_per_channel(encoder_part: onnx.ModelProto, ranges: Any, crops: Any) -> None:
    full, index = GraphIndex(encoder_part), GraphIndex(shipped := quantise(encoder_part, ranges, "tensorrt"))
    for node in shipped.graph.node:
        if node.op_type == "Conv":
            weight = full.array(f"{node.name}.weight")
            integers, step = index.array(f"{node.name}.weight.q"), index.array(f"{node.name}.weight.scale")
            gain = index.array(f"{node.name}.gain").reshape(-1)
            largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
            np.testing.assert_allclose(step * gain, largest / 127, rtol=1e-5)
            np.testing.assert_array_equal(
                index.array(f"{node.name}.shift").reshape(-1), full.array(f"{node.name}.bias")
            )
            read = index.array(index.producer[node.input[0]].input[1])
            sums = np.abs(integers.astype(np.int64)).reshape(len(integers), -1).sum(axis=1)
            assert 127 * read * step * sums.max() <= 60_001  # FP16 holds 65,504

    def run(model: onnx.ModelProto) -> Any:
        return model_session(model, optimised=False).run(None, {"face": crops})[0]

    by_channel = next(int8_forms(encoder_part, shipped))[2]
    assert noise_db(run(shipped), run(by_channel)) > 20  # a value at a border rounds otherwise; INT8's own noise is 12


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
    good.write_bytes(unroll_lstms(fusion_part).SerializeToString())
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
