"""Writing a recording: an MCAP file of chunks, each handed to the system within two seconds of its first message.

The file is synced every two seconds, so that a power cut costs four seconds, and a killed run two.

Its channels have JSON schemas as Foxglove reads them: plain types, objects with named properties, and arrays of these;
no null, no unions, no arrays of arrays (foxglove/studio, packages/mcap-support/src/parseJsonSchema.ts). Optional
properties are not `required`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.packages import require
from emer_edge.core.standard_streams import to_json
from emer_edge.core.whole_file import Syncing, claim
from emer_edge.runtime.recording import messages

HEAD_NAME: Final = "emer-edge"
JUMP_NAME: Final = "emer-edge clock jump"
_CHUNK_BYTES: Final = 1 << 20
_FLUSH_S: Final = 2.0  # what a kill can cost; a chunk costs half a kilobyte of memory until the end, for the index
_INTEGER: Final = {"type": "integer"}
_NUMBER: Final = {"type": "number"}
_TEXT: Final = {"type": "string"}
_TRUTH: Final = {"type": "boolean"}
_NUMBERS: Final = {"type": "array", "items": _NUMBER}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_BYTES: Final = {"type": "string", "contentEncoding": "base64"}


def check_writable(path: Path, new_folder: bool = False) -> None:
    """Check that a recording can be made; `new_folder`: its folder is made for it.

    Raises:
        MissingExtraError: the package `mcap` is not installed.
        ConfigurationError: the file exists already, its folder does not, or can't be written to.
    """
    require("--record", ["mcap"], "mcap")
    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"{path} is there already, and recordings are never overwritten; choose another name")
    if not path.parent.is_dir() and not new_folder:
        raise ConfigurationError(f"there is no folder {path.parent} to record into; make it first")
    if not os.access(next(parent for parent in path.absolute().parents if parent.exists()), os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path.parent} may not be written to by this user, or its disk is read-only")


class RecordingWriter:
    """Writes messages; the file has mode 0600 and must not exist.

    A run that is killed leaves a file that can be read up to its last chunk.

    Attributes:
        unix_offset_ns: Unix time minus host monotonic time.

    Raises:
        OSError: the file can't be made or written, here and by every method.
    """

    def __init__(self, path: Path, head: messages.RecordingHead) -> None:
        from mcap.writer import Writer

        self.unix_offset_ns = head.unix_offset_ns
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        claim(descriptor)
        self._file = os.fdopen(descriptor, "wb")
        self._writer: Any = Writer(self._file, chunk_size=_CHUNK_BYTES)
        self._writer.start(profile="", library=f"emer-edge {head.version}")
        fields = {"schema": str(head.schema), "head": to_json(head).decode()}
        named = {"participant": head.participant, "session": head.session, "consent_id": head.consent_id}
        self._writer.add_metadata(HEAD_NAME, fields | {name: text for name, text in named.items() if text is not None})
        self._channels: dict[str, int] = {}
        for topic, (name, text) in channel_schemas(head.heads).items():
            if topic == messages.CAMERA and head.images == "none":
                continue
            schema = self._writer.register_schema(name, "jsonschema", text)
            self._channels[topic] = self._writer.register_channel(topic, "json", schema)
        self._sequences = dict.fromkeys(self._channels, 0)
        self._flushed_s = monotonic()
        self._writer.flush()
        self._syncing = Syncing(descriptor, folders=[path.parent])

    @property
    def counts(self) -> dict[str, int]:
        """Topic -> messages written."""
        return dict(self._sequences)

    def write(self, topic: str, message: Any, arrival_ns: int, stamp_ns: int) -> None:
        """Write a message.

        Args:
            topic: its topic.
            message: anything that msgspec encodes as a JSON object.
            arrival_ns: for its log time.
            stamp_ns: for its publish time.
        """
        self._syncing.check()
        self._sequences[topic] += 1
        self._writer.add_message(
            channel_id=self._channels[topic],
            log_time=max(0, arrival_ns + self.unix_offset_ns),
            publish_time=max(0, stamp_ns + self.unix_offset_ns),
            sequence=self._sequences[topic] & 0xFFFFFFFF,
            data=to_json(message),
        )
        now_s = monotonic()
        if topic == messages.MARKERS or now_s - self._flushed_s >= _FLUSH_S:
            self._flushed_s = now_s
            self._writer.flush()

    def clock_jump(self, at_ns: int, seconds: float) -> None:
        """Write down that the wall clock was set, host time `at_ns`; the times of the messages go on as they began."""
        self._writer.add_metadata(JUMP_NAME, {"at_ns": str(at_ns), "seconds": f"{seconds:.3f}"})

    def close(self) -> None:
        """Write the index and close the file."""
        with self._file:
            try:
                self._writer.finish()
                self._file.flush()
            finally:
                self._syncing.close()


def channel_schemas(heads: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, bytes]]:
    """Topic -> name and text of its schema; `heads`: head -> its class names, empty for a value."""
    eye = _object({**dict.fromkeys(messages.EyeMessage.__struct_fields__, _NUMBER), "valid": _TRUTH}, "valid")
    times = {"stamp_ns": _INTEGER, "arrival_ns": _INTEGER, "taken_ns": _INTEGER}
    both = {"left": eye, "right": eye}
    box = {"box_px": _NUMBERS, "landmarks_px": _NUMBERS, "score": _NUMBER, "crop": _BYTES}
    look = _object({"detect_ms": _NUMBER, "anew": _TRUTH, "missed": _TEXT, **box}, "detect_ms")
    size = {"width_px": _INTEGER, "height_px": _INTEGER}
    moment = _object({"sec": _INTEGER, "nsec": _INTEGER}, "sec", "nsec")
    image = {"timestamp": moment, "frame_id": _TEXT, "data": _BYTES, "format": _TEXT}
    marker = _object({"label": _TEXT, "stamp_ns": _INTEGER, "source": _TEXT, "clock": _TEXT}, "label", "stamp_ns")
    schemas = {
        messages.SAMPLES: ("emer_edge.Sample", _object({**times, "device_ns": _INTEGER, **both}, *times, *both)),
        messages.FRAMES: (
            "emer_edge.Frame",
            _object({"index": _INTEGER, **times, "clock": _TEXT, **size, "look": look}, "index", *times),
        ),
        messages.CAMERA: ("foxglove.CompressedImage", _object(image, "timestamp", "data", "format")),
        messages.RESULTS: ("emer_edge.Result", _result(heads, marker)),
        messages.MARKERS: ("emer_edge.Marker", marker),
    }
    return {topic: (name, msgspec.json.encode({"title": name, **schema})) for topic, (name, schema) in schemas.items()}


def _result(heads: Mapping[str, Sequence[str]], marker: dict[str, Any]) -> dict[str, Any]:
    of_heads = {
        name: _object(dict.fromkeys(classes, _NUMBER)) if classes else _NUMBER for name, classes in heads.items()
    }
    return _object(
        {
            "schema": _TEXT,
            "begin_ns": _INTEGER,
            "end_ns": _INTEGER,
            "state": _TEXT,
            "filling_s": _NUMBER,
            "heads": _object(of_heads),
            "gap": _object(
                {**dict.fromkeys(("distance", "p_differ", "valence", "arousal"), _NUMBER), "larger_than": _NUMBERS}
            ),
            "absent": {"type": "object", "additionalProperties": {"type": "string"}},
            "face_distance": _NUMBER,
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
            "engines": {"type": "object", "additionalProperties": {"type": "string"}},
            "from_baseline": _object({}),
        },
        "end_ns",
        "state",
        "heads",
    )


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}
