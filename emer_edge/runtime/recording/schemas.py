"""JSON schemas of a recording's channels, as Foxglove reads them.

Its reader knows plain types, objects whose properties are named, and arrays of these; no null, no unions, no arrays of
arrays (foxglove/studio, packages/mcap-support/src/parseJsonSchema.ts). What may be missing is not `required`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from emer_edge.runtime.recording.messages import CAMERA, FRAMES, MARKERS, RESULTS, SAMPLES, EyeMessage

__all__ = ["channel_schemas"]

_INTEGER: Final = {"type": "integer"}
_NUMBER: Final = {"type": "number"}
_TEXT: Final = {"type": "string"}
_TRUTH: Final = {"type": "boolean"}
_NUMBERS: Final = {"type": "array", "items": _NUMBER}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_BYTES: Final = {"type": "string", "contentEncoding": "base64"}


def channel_schemas(heads: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, bytes]]:
    """Topic -> name and text of its schema.

    Args:
        heads: head -> its class names; empty for a value.
    """
    eye_numbers = [name for name in EyeMessage.__struct_fields__ if name != "valid"]
    eye = _object({"valid": _TRUTH, **dict.fromkeys(eye_numbers, _NUMBER)}, "valid")
    times = {"stamp_ns": _INTEGER, "arrival_ns": _INTEGER, "taken_ns": _INTEGER}
    look = _object(
        {
            "detect_ms": _NUMBER,
            "anew": _TRUTH,
            "missed": _TEXT,
            "box_px": _NUMBERS,
            "landmarks_px": _NUMBERS,
            "score": _NUMBER,
            "crop": _BYTES,
        },
        "detect_ms",
    )
    marker = _object({"label": _TEXT, "stamp_ns": _INTEGER, "source": _TEXT, "clock": _TEXT}, "label", "stamp_ns")
    schemas = {
        SAMPLES: (
            "emer_edge.Sample",
            _object({**times, "device_ns": _INTEGER, "left": eye, "right": eye}, *times, "left", "right"),
        ),
        FRAMES: (
            "emer_edge.Frame",
            _object(
                {"index": _INTEGER, **times, "clock": _TEXT, "width_px": _INTEGER, "height_px": _INTEGER, "look": look},
                "index",
                *times,
            ),
        ),
        CAMERA: (
            "foxglove.CompressedImage",
            _object(
                {
                    "timestamp": _object({"sec": _INTEGER, "nsec": _INTEGER}, "sec", "nsec"),
                    "frame_id": _TEXT,
                    "data": _BYTES,
                    "format": _TEXT,
                },
                "timestamp",
                "data",
                "format",
            ),
        ),
        RESULTS: ("emer_edge.Result", _result(heads, marker)),
        MARKERS: ("emer_edge.Marker", marker),
    }
    return {topic: (name, msgspec.json.encode({"title": name, **schema})) for topic, (name, schema) in schemas.items()}


def _result(heads: Mapping[str, Sequence[str]], marker: dict[str, Any]) -> dict[str, Any]:
    of_heads = {
        name: _object(dict.fromkeys(classes, _NUMBER)) if classes else _NUMBER for name, classes in heads.items()
    }
    return _object(
        {
            "end_ns": _INTEGER,
            "state": _TEXT,
            "filling_s": _NUMBER,
            "heads": _object(of_heads),
            "gap": _object(dict.fromkeys(("distance", "percentile", "valence", "arousal"), _NUMBER)),
            "face_age_ms": _NUMBER,
            "sample_age_ms": _NUMBER,
            "face_slots": _INTEGER,
            "eye_slots": _INTEGER,
            "degraded": _TEXTS,
            "stages_ms": _object(dict.fromkeys(("detect", "align", "encode", "fuse", "total"), _NUMBER)),
            "dropped": _object({}),
            "notes": _TEXTS,
            "markers": {"type": "array", "items": marker},
            "crosses": _TEXTS,
            "from_baseline": _object({}),
        },
        "end_ns",
        "state",
        "heads",
    )


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}
