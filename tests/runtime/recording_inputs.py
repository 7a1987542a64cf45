"""Runs that are recorded, and comparisons of their results with a replay's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host, Output
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import Images, RecordOptions

SAME = ("state", "face_slots", "eye_slots", "degraded", "notes", "face_age_ms", "sample_age_ms", "filling_s")


class Kept(Output):
    """An output that keeps all results."""

    name = "kept"

    def __init__(self) -> None:
        self.results: list[Result] = []

    def result(self, result: Result) -> bool:
        self.results.append(result)
        return True


def recorded(pipeline: Pipeline, path: Path, images: Images = "jpeg", seconds: float | None = None) -> list[Result]:
    """Run a pipeline to its end, recorded; return its results."""
    kept = Kept()
    consent = None if images == "none" else "form 17"
    output = Recorder(
        RecordOptions(path, images, consent, "p017", session="first"), Host(pipeline, say=lambda sentence: None)
    )
    summary = play(pipeline, [output, kept], seconds)
    assert summary.outputs == {}
    return kept.results


def replayed(bundle: Bundle, path: Path) -> list[Result]:
    with Pipeline(bundle, str(path), str(path), machine=MachineOptions(pace="fast")) as pipeline:
        return list(pipeline)


def heads_of(result: Result) -> list[float]:
    cells: list[float] = []
    for value in result.heads.values():
        cells += value.values() if isinstance(value, dict) else [value]
    return cells


def assert_same(first: list[Result], again: list[Result], origin_ns: int, tolerance: float = 1e-5) -> None:
    """Hold two runs to the same results, their times apart by `origin_ns`."""
    assert [each.end_ns for each in again] == [each.end_ns - origin_ns for each in first]
    for one, other in zip(first, again, strict=True):
        assert {name: getattr(one, name) for name in SAME} == {name: getattr(other, name) for name in SAME}
        assert one.heads.keys() == other.heads.keys()
        np.testing.assert_allclose(heads_of(one), heads_of(other), rtol=0, atol=tolerance)


def check_schema(schema: dict[str, Any], where: str = "") -> None:
    """Hold a schema to what Foxglove's reader knows (packages/mcap-support/src/parseJsonSchema.ts)."""
    assert schema["type"] in ("object", "array", "string", "number", "integer", "boolean"), where
    if schema["type"] == "object":
        for name, each in schema.get("properties", {}).items():
            check_schema(each, f"{where}.{name}")
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()
    if schema["type"] == "array":
        assert schema["items"]["type"] != "array", where
        check_schema(schema["items"], where + "[]")
    assert schema.get("contentEncoding") in (None, "base64")


def conforms(value: Any, schema: dict[str, Any], where: str = "") -> None:
    """Hold a value to a schema, and to having no property that the schema does not name."""
    kind = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}
    assert isinstance(value, kind[schema["type"]]), f"{where}: {value!r}"  # type: ignore[arg-type]
    if schema["type"] == "object":
        assert set(schema.get("required", ())) <= value.keys(), where
        for name, each in value.items():
            if schema.get("properties"):
                conforms(each, schema["properties"][name], f"{where}.{name}")
    if schema["type"] == "array":
        for each in value:
            conforms(each, schema["items"], where + "[]")
