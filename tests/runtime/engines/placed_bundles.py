"""A bundle of both variants in two precisions whose parts are very small networks, with golden inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emer_edge.bundle import Bundle, BundleWriter, Combination, Manifest
from emer_edge.bundle.golden_file import GOLDEN_NAME, write_golden
from emer_edge.bundle.manifest import (
    SCHEMA,
    BundledHead,
    DetectorRecord,
    FaceRecord,
    GateRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.progress import silent
from emer_edge.core.window import WindowSpec
from emer_edge.export.verification import make_golden

__all__ = ["MIXED", "PURE", "write_placed_bundle"]

_FACE, _EYE, _GAZE = ["N", 3, 112, 112], ["N", 32, 39], ["N", 32, 2]
_TEMPLATE = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))
PURE = (
    {"face_encoder": "cpu/face_encoder", "fusion": "cpu/fusion"},
    {"face_encoder": "tensorrt/face_encoder", "fusion": "tensorrt/fusion"},
    {"face_encoder": "cpu/face_encoder-int8", "fusion": "cpu/fusion"},
    {"face_encoder": "tensorrt/face_encoder-int8", "fusion": "tensorrt/fusion"},
)
MIXED = {"face_encoder": "tensorrt/face_encoder-int8", "fusion": "cpu/fusion"}
_PRECISIONS: dict[str, Any] = {
    "cpu/face_encoder": "fp32",
    "cpu/fusion": "fp32",
    "tensorrt/face_encoder": "fp16",
    "tensorrt/fusion": "fp16",
    "cpu/face_encoder-int8": "int8",
    "tensorrt/face_encoder-int8": "int8",
}


def write_placed_bundle(
    folder: Path, combinations: Sequence[Mapping[str, str]] = (*PURE, MIXED), broken: Sequence[str] = ()
) -> Bundle:
    """Write it; `broken` names parts, such as `tensorrt/fusion`, that no engine takes."""
    detector = _detector()
    detectors = {f"{variant}/face_detector": "fp32" for variant in ("cpu", "tensorrt")}
    manifest = Manifest(
        schema=SCHEMA,
        name="placed",
        created="2026-01-01T00:00:00Z",
        versions={},
        heads=(BundledHead(name="er-valence"), BundledHead(name="er-arousal")),
        window=WindowSpec(),
        events="causal",
        eye_columns=COLUMN_KEYS,
        face=FaceRecord(template_px=_TEMPLATE),
        detector=DetectorRecord(kind="centerface", height_px=64, width_px=96),
        precision=PrecisionRecord(requested="fp16,int8", parts=_PRECISIONS | detectors),
        gate=GateRecord(verdict="passed", windows=100),
        verification=VerificationRecord(inputs="none", largest_error={}),
        combinations=tuple(Combination(parts=dict(parts), verdict="passed") for parts in combinations),
        files={},
    )
    with BundleWriter(folder / "placed.emer") as writer:
        for key in manifest.precision.parts:
            part = {"face_encoder": _encoder, "fusion": _fusion, "face_detector": _detector}[
                key.partition("/")[2].partition("-")[0]
            ]()
            writer.add(f"{key}.onnx", part.SerializeToString())
        golden = make_golden(writer.file, manifest, {"face_detector": detector}, silent)
        writer.add(GOLDEN_NAME, write_golden(golden))
        for key in broken:
            writer.add(f"{key}.onnx", _unknown().SerializeToString())
        return writer.commit(manifest)


def _model(name: str, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], **arrays: Any) -> ModelProto:
    sides = [
        [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in values.items()]
        for values in (inputs, outputs)
    ]
    held = [numpy_helper.from_array(np.asarray(value), key) for key, value in arrays.items()]
    model = helper.make_model(helper.make_graph(nodes, name, *sides, held), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _weights(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _encoder() -> ModelProto:
    nodes = [
        helper.make_node("ReduceMean", ["face"], ["means"], axes=[3], keepdims=0),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["embedding"]),
    ]
    return _model("face_encoder", nodes, {"face": _FACE}, {"embedding": ["N", 128]}, w=_weights(336, 128))


def _fusion() -> ModelProto:
    nodes = [
        helper.make_node("ReduceMean", ["embeddings"], ["faces"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["eye"], ["looks"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["gaze"], ["points"], axes=[1], keepdims=0),
        helper.make_node("Concat", ["faces", "looks", "points"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "v"], ["er-valence"]),
        helper.make_node("MatMul", ["all", "a"], ["er-arousal"]),
    ]
    inputs = {"embeddings": ["N", 8, 128], "eye": _EYE, "gaze": _GAZE}
    outputs = {"er-valence": ["N", 1], "er-arousal": ["N", 1]}
    return _model("fusion", nodes, inputs, outputs, v=_weights(169, 1), a=-_weights(169, 1))


def _detector() -> ModelProto:
    return _model(
        "face_detector",
        [helper.make_node("Relu", ["image"], ["map"])],
        {"image": [1, 3, 64, 96]},
        {"map": [1, 3, 64, 96]},
    )


def _unknown() -> ModelProto:
    """A network that no engine takes: its operator has an input too many."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x", "x"], ["y"])], "unknown", sides[:1], sides[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
