"""A recording as a table (CSV) or as an XDF file.

    FILE.csv   one kind of rows: results (the default), samples, frames or markers; participant, session, times in
               seconds from the start of the recording, and as Unix time; no blanks in the columns' names
    FILE.xdf   streams `results`, `samples`, `frames` (stamps and the face's box) and `markers`; times in seconds from
               the recording's start

No images are converted.
"""

from __future__ import annotations

import csv
import io
import math
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, Literal

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.whole_file import Target, whole_file
from emer_edge.runtime.recording import messages
from emer_edge.runtime.recording.mcap_reader import Recorded, read_head, read_messages
from emer_edge.runtime.recording.xdf import XdfStream, XdfWriter

Rows = Literal["results", "samples", "frames", "markers"]

_EYES: Final = tuple(f"{eye}_{name}" for eye in ("left", "right") for name in messages.EyeMessage.__struct_fields__)
_GAP_NS: Final = 1_000_000_000
_UNITS: Final = {"px": "pixels", "mm": "mm"}
_RESULT_EXTRAS: Final = ("face_age_ms", "sample_age_ms", "face_slots", "eye_slots")
_BOX: Final = ("face_left_px", "face_top_px", "face_right_px", "face_bottom_px")


def convert(recording: Path, output: Path, rows: Rows = "results", force: bool = False) -> dict[str, int]:
    """Convert a recording; a file with mode 0600, whole or not at all.

    Args:
        recording: an MCAP file of emer-edge.
        output: FILE.csv or FILE.xdf.
        rows: which rows a CSV holds.
        force: replace the output.

    Returns:
        Kind of rows -> how many were written.

    Raises:
        ConfigurationError: an output with another suffix.
        OutputExistsError: it exists, and not `force`.
        DataError: the recording can't be read, or the output can't be written.
        MissingExtraError: the package `mcap` is not installed.
    """
    write = {".csv": _write_csv, ".xdf": _write_xdf}.get(output.suffix.lower())
    if write is None:
        raise ConfigurationError(f"recordings become FILE.csv or FILE.xdf, not {output.name}")
    target = Target.of(output, force)
    head = read_head(recording)
    try:
        with whole_file(target, private=True) as unfinished, unfinished.open("wb") as file:
            return write(recording, head, file, rows)
    except OSError as error:
        raise DataError(f"can't write {output}: {error.strerror or error}") from error


def _write_csv(recording: Path, head: messages.RecordingHead, file: IO[bytes], rows: Rows) -> dict[str, int]:
    heads = dict(head.heads)
    labels = {
        "results": ["state", *(label for label, _ in messages.result_channels(heads)[1:]), *_RESULT_EXTRAS, "markers"],
        "samples": ["arrival_ns", "device_ns", *_EYES],
        "frames": ["index", "arrival_ns", "clock", "looked_at", "missed", *_BOX],
        "markers": ["label", "source", "clock"],
    }[rows]
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["participant", "session", "time_s", "unix_s", *(label.replace(" ", "_") for label in labels)])
    for message in read_messages(recording, {f"/{rows}"}):
        stamp_ns, cells = _row(message, heads)
        times = (_seconds(stamp_ns - head.origin_ns), _seconds(stamp_ns + head.unix_offset_ns))
        numbers = (int(cell) if isinstance(cell, bool) else cell for cell in map(cells.get, labels))
        lines.writerow([head.participant, head.session, *times, *numbers])
        count += 1
    text.detach()
    return {rows: count}


def _seconds(time_ns: int) -> str:
    whole, rest = divmod(abs(time_ns), 1_000_000_000)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:09d}"


def _write_xdf(recording: Path, head: messages.RecordingHead, file: IO[bytes], rows: Rows) -> dict[str, int]:
    heads = dict(head.heads)
    eyes = tuple((label, _UNITS.get(label.rsplit("_", 1)[-1], "")) for label in _EYES)
    box = tuple((label.removesuffix("_px"), "pixels") for label in _BOX)
    streams = {
        messages.RESULTS: XdfStream("results", "Emotion", tuple(messages.result_channels(heads))),
        messages.SAMPLES: XdfStream("samples", "Gaze", eyes, rate_hz=head.rate_hz if _is_regular(recording) else 0.0),
        messages.FRAMES: XdfStream("frames", "Face", (("index", ""), *box)),
        messages.MARKERS: XdfStream("markers", "Markers", (("label", ""),), text=True),
    }
    results = [label for label, _ in messages.result_channels(heads)]
    columns = {messages.RESULTS: results, messages.SAMPLES: _EYES, messages.FRAMES: ["index", *_BOX]}
    order = list(streams)
    counts = dict.fromkeys((topic[1:] for topic in order), 0)
    person = {"participant": head.participant, "session": head.session}
    with XdfWriter(file, list(streams.values()), head.started, person) as writer:  # type: ignore[arg-type]
        for message in read_messages(recording, set(order)):
            stamp_ns, cells = _row(message, heads)
            if message.topic == messages.MARKERS:
                values: str | list[float] = str(cells["label"])
            else:
                cells["state"] = cells.get("code")
                numbers = map(cells.get, columns[message.topic])
                values = [math.nan if number is None else float(number) for number in numbers]
            writer.write(order.index(message.topic), (stamp_ns - head.origin_ns) * 1e-9, values)
            counts[message.topic[1:]] += 1
    return counts


def _is_regular(recording: Path) -> bool:
    """Whether samples come without gaps above a second: else readers that even out a rate would split the stream."""
    stamps_ns = [message.decode().stamp_ns for message in read_messages(recording, {messages.SAMPLES})]
    return all(0 <= after - before <= _GAP_NS for before, after in pairwise(stamps_ns))


def _row(message: Recorded, heads: dict[str, tuple[str, ...]]) -> tuple[int, dict[str, Any]]:
    """A message's stamp, host monotonic ns, and column -> cell, None where it is missing."""
    read = message.decode()
    if isinstance(read, messages.SampleMessage):
        eyes = [getattr(eye, name) for eye in (read.left, read.right) for name in messages.EyeMessage.__struct_fields__]
        times = {"arrival_ns": read.arrival_ns, "device_ns": read.device_ns}
        return read.stamp_ns, times | dict(zip(_EYES, eyes, strict=True))
    if isinstance(read, messages.FrameMessage):
        look = read.look
        cells = {"index": read.index, "arrival_ns": read.arrival_ns, "clock": read.clock, "looked_at": look is not None}
        missed, box_px = (None, None) if look is None else (look.missed, look.box_px)
        return read.stamp_ns, cells | {"missed": missed} | dict(zip(_BOX, box_px or (), strict=False))
    if message.topic == messages.MARKERS:
        return read["stamp_ns"], read
    try:
        code, *numbers = messages.result_row(read, heads)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"the recording holds a result that can't be read: {error}") from error
    labels = [label for label, _ in messages.result_channels(heads)[1:]]
    cells = {label: number for label, number in zip(labels, numbers, strict=True) if not math.isnan(number)}
    cells |= {"code": code, "state": read["state"]}
    cells["markers"] = "; ".join(one["label"] for one in read.get("markers", []))
    return read["end_ns"], cells | {name: read.get(name) for name in _RESULT_EXTRAS}
