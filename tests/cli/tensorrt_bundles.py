"""Bundles whose TensorRT parts are very small networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emer_edge.bundle import BundleWriter, Manifest
from emer_edge.bundle.manifest import (
    BundledHead,
    DetectorRecord,
    FaceRecord,
    GateRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.window import WindowSpec


def write_bundle(
    folder: Path, parts: tuple[str, ...], operator: str = "Relu", *, others: dict[str, ModelProto] | None = None
) -> Path:
    """A bundle with these parts of the tensorrt variant, none of which is what its name says, and `others` as given."""
    manifest = Manifest(
        schema=1,
        name="small",
        created="2026-01-01T00:00:00Z",
        versions={},
        heads=(BundledHead(name="er-valence"),),
        window=WindowSpec(),
        events="causal",
        eye_columns=COLUMN_KEYS,
        face=FaceRecord(template_px=((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))),
        detector=DetectorRecord(kind="centerface", height_px=256, width_px=320),
        precision=PrecisionRecord(requested="fp32", parts={}),
        gate=GateRecord(verdict="not run"),
        verification=VerificationRecord(inputs="none", largest_error={}),
        files={},
    )
    with BundleWriter(folder / "small.emer") as writer:
        writer.add("cpu/fusion.onnx", _network("fusion", "Relu").SerializeToString())
        for each in parts:
            writer.add(f"tensorrt/{each}.onnx", _network(each, operator).SerializeToString())
        for name, model in (others or {}).items():
            writer.add(f"tensorrt/{name}.onnx", model.SerializeToString())
        return writer.commit(manifest).path


def _network(name: str, operator: str) -> ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["c"], name="product"),
            helper.make_node(operator, ["c"], ["y"], name="last"),
        ],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.eye(8, 4, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model
