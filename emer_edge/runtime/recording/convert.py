"""A recording as a table (CSV) or as an XDF file.

    FILE.csv   one kind of rows: results (the default), samples, frames or markers; times in seconds from the start of
               the recording, and as Unix time
    FILE.xdf   streams `results`, `samples`, `frames` (stamps and the face's box) and `markers`; times in seconds from
               the recording's start

No images are converted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Literal

from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.core.whole_file import whole_file
from emer_edge.runtime.recording.mcap_reader import Recorded, read_head, read_messages
from emer_edge.runtime.recording.messages import (
    FRAMES,
    MARKERS,
    RESULTS,
    SAMPLES,
    EyeMessage,
    FrameMessage,
    RecordingHead,
    SampleMessage,
    result_channels,
    result_row,
)
from emer_edge.runtime.recording.xdf import XdfStream, XdfWriter

Rows = Literal["results", "samples", "frames", "markers"]

_TOPICS: Final[dict[str, str]] = {"results": RESULTS, "samples": SAMPLES, "frames": FRAMES, "markers": MARKERS}
_EYE: Final = tuple(EyeMessage.__struct_fields__)
_UNITS: Final = {"px": "pixels", "mm": "mm"}
_RESULT_EXTRAS: Final = ("face_age_ms", "sample_age_ms", "face_slots", "eye_slots")
_BOX: Final = ("left", "top", "right", "bottom")

_Row = tuple[int, list[Any]]
"""Stamp, host monotonic ns; and cells."""


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
        ConfigurationError: an output of another kind.
        OutputExistsError: it exists, and not `force`.
        DataError: the recording can't be read, or the output can't be written.
        MissingExtraError: the package `mcap` is not installed.
    """
    write = {".csv": _write_csv, ".xdf": _write_xdf}.get(output.suffix.lower())
    if write is None:
        raise ConfigurationError(f"recordings become FILE.csv or FILE.xdf, not {output.name}")
    if output.exists() and not force:
        raise OutputExistsError(output)
    head = read_head(recording)
    try:
        with whole_file(output, private=True) as unfinished, unfinished.open("wb") as file:
            return write(recording, head, file, rows)
    except OSError as error:
        raise DataError(f"can't write {output}: {error.strerror or error}") from error


def _write_csv(recording: Path, head: RecordingHead, file: IO[bytes], rows: Rows) -> dict[str, int]:
    labels, row_of = _table(head, rows)
    topic = _TOPICS[rows]
    count = 0
    lines = csv.writer(_Text(file), lineterminator="\n")
    lines.writerow(["time_s", "unix_s", *labels])
    for message in read_messages(recording, {topic}):
        stamp_ns, cells = row_of(message)
        times = (_seconds(stamp_ns - head.origin_ns), _seconds(stamp_ns + head.unix_offset_ns))
        lines.writerow([*times, *("" if each is None else each for each in cells)])
        count += 1
    return {rows: count}


class _Text:
    """What csv.writer needs of a text file, over a binary one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _seconds(time_ns: int) -> str:
    whole, rest = divmod(abs(time_ns), 1_000_000_000)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:09d}"


def _table(head: RecordingHead, rows: Rows) -> tuple[list[str], Callable[[Recorded], _Row]]:
    """Labels of a table, and what makes its rows of messages."""
    if rows == "results":
        heads = dict(head.heads)
        labels = ["state", *(label for label, _ in result_channels(heads)[1:]), *_RESULT_EXTRAS, "markers"]

        def result(message: Recorded) -> _Row:
            plain = message.decode()
            numbers = [None if math.isnan(each) else each for each in _numbers(plain, heads)[1:]]
            marked = "; ".join(each["label"] for each in plain.get("markers", []))
            return plain["end_ns"], [plain["state"], *numbers, *(plain.get(name) for name in _RESULT_EXTRAS), marked]

        return labels, result
    if rows == "samples":
        labels = ["arrival_ns", "device_ns", *(f"{eye}_{name}" for eye in ("left", "right") for name in _EYE)]

        def sample(message: Recorded) -> _Row:
            read: SampleMessage = message.decode()
            eyes = [getattr(eye, name) for eye in (read.left, read.right) for name in _EYE]
            return read.stamp_ns, [read.arrival_ns, read.device_ns, *(_flag(each) for each in eyes)]

        return labels, sample
    if rows == "frames":
        labels = ["index", "arrival_ns", "clock", "looked_at", "missed", *(f"face_{side}_px" for side in _BOX)]

        def frame(message: Recorded) -> _Row:
            read: FrameMessage = message.decode()
            look = read.look
            box = (None,) * len(_BOX) if look is None or look.box_px is None else look.box_px
            missed = None if look is None else look.missed
            return read.stamp_ns, [read.index, read.arrival_ns, read.clock, int(look is not None), missed, *box]

        return labels, frame

    def marker(message: Recorded) -> _Row:
        plain = message.decode()
        return plain["stamp_ns"], [plain["label"], plain.get("source"), plain.get("clock")]

    return ["label", "source", "clock"], marker


def _write_xdf(recording: Path, head: RecordingHead, file: IO[bytes], rows: Rows) -> dict[str, int]:
    heads = dict(head.heads)
    eyes = tuple(
        (f"{eye}_{name}", _UNITS.get(name.rsplit("_", 1)[-1], "")) for eye in ("left", "right") for name in _EYE
    )
    streams = {
        RESULTS: XdfStream("results", "Emotion", tuple(result_channels(heads))),
        SAMPLES: XdfStream("samples", "Gaze", eyes, rate_hz=head.rate_hz),
        FRAMES: XdfStream("frames", "Face", (("index", ""), *((f"face_{side}", "pixels") for side in _BOX))),
        MARKERS: XdfStream("markers", "Markers", (("label", ""),), text=True),
    }
    order = list(streams)
    counts = dict.fromkeys((topic[1:] for topic in order), 0)
    with XdfWriter(file, list(streams.values()), head.started) as writer:  # type: ignore[arg-type]
        for message in read_messages(recording, set(order)):
            stamp_ns, values = _xdf_row(message, heads)
            writer.write(order.index(message.topic), (stamp_ns - head.origin_ns) * 1e-9, values)
            counts[message.topic[1:]] += 1
    return counts


def _xdf_row(message: Recorded, heads: dict[str, tuple[str, ...]]) -> tuple[int, list[float] | str]:
    read = message.decode()
    if isinstance(read, SampleMessage):
        cells = [getattr(eye, name) for eye in (read.left, read.right) for name in _EYE]
        return read.stamp_ns, [math.nan if each is None else float(each) for each in cells]
    if isinstance(read, FrameMessage):
        look = read.look
        box = (math.nan,) * len(_BOX) if look is None or look.box_px is None else look.box_px
        return read.stamp_ns, [float(read.index), *box]
    if message.topic == MARKERS:
        return read["stamp_ns"], str(read["label"])
    return read["end_ns"], _numbers(read, heads)


def _numbers(result: dict[str, Any], heads: dict[str, tuple[str, ...]]) -> list[float]:
    try:
        return result_row(result, heads)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"the recording holds a result that can't be read: {error}") from error


def _flag(cell: Any) -> Any:
    return int(cell) if isinstance(cell, bool) else cell
