"""Writing XDF 1.0, the file format of the Lab Streaming Layer's recorders.

Format: https://github.com/sccn/xdf/wiki/Specifications. A file is `XDF:` and chunks: their length, a tag, and content.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

import numpy as np

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER = 1, 2, 3, 4, 6
_AT_ONCE: Final = 1000  # samples per chunk
_XML: Final = '<?xml version="1.0"?>'


@dataclass(frozen=True)
class XdfStream:
    """One stream.

    Attributes:
        kind: its content type, such as `Gaze` or `Markers`.
        channels: label and unit of each.
        text: whether its only channel holds texts; else channels are 64 bit floats.
        rate_hz: nominal rate, 0 without one.
    """

    name: str
    kind: str
    channels: tuple[tuple[str, str], ...]
    text: bool = False
    rate_hz: float = 0.0


class XdfWriter:
    """Writes streams, a few samples at a time; as a context manager it writes the footers.

    Args:
        file: open for binary writing.
        streams: all that will be written.
        started: wall clock, ISO 8601.
        person: name -> ID, for the streams' descriptions; None where it is not known.
    """

    def __init__(
        self, file: BinaryIO, streams: Sequence[XdfStream], started: str, person: Mapping[str, str | None] | None = None
    ) -> None:
        self._file, self._streams = file, tuple(streams)
        self._waiting: list[list[tuple[float, Sequence[float] | str]]] = [[] for _ in streams]
        self._times: list[tuple[float, float] | None] = [None for _ in streams]  # of the first and the last sample
        self._counts = [0 for _ in streams]
        file.write(b"XDF:")
        self._chunk(
            _FILE_HEADER, f"{_XML}<info><version>1.0</version><datetime>{escape(started)}</datetime></info>".encode()
        )
        for number, stream in enumerate(streams, 1):
            self._chunk(_STREAM_HEADER, struct.pack("<I", number) + _header(stream, person or {}).encode())

    def write(self, stream: int, stamp_s: float, values: Sequence[float] | str) -> None:
        """Add a sample.

        Args:
            stream: index of the stream.
            stamp_s: its time.
            values: one per channel, NaN where missing; or the text.
        """
        first, _ = self._times[stream] or (stamp_s, stamp_s)
        self._times[stream] = first, stamp_s
        self._counts[stream] += 1
        waiting = self._waiting[stream]
        waiting.append((stamp_s, values))
        if len(waiting) >= _AT_ONCE:
            self._flush(stream)

    def close(self) -> None:
        """Write what waits, and the footers; the file stays open."""
        spans = [span for span in self._times if span is not None] or [(0.0, 0.0)]
        begin_s, end_s = min(first for first, _ in spans), max(last for _, last in spans)
        for index in range(len(self._streams)):
            self._flush(index)
            for stamp_s in (begin_s, max(end_s, begin_s + 1)):  # all are in one clock; readers that find no offset warn
                self._chunk(_CLOCK_OFFSET, struct.pack("<Idd", index + 1, stamp_s, 0.0))
            times = ""
            if (span := self._times[index]) is not None:
                first, last = span
                times = f"<first_timestamp>{first!r}</first_timestamp><last_timestamp>{last!r}</last_timestamp>"
            footer = f"{_XML}<info>{times}<sample_count>{self._counts[index]}</sample_count></info>"
            self._chunk(_STREAM_FOOTER, struct.pack("<I", index + 1) + footer.encode())

    def __enter__(self) -> XdfWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()

    def _flush(self, index: int) -> None:
        waiting = self._waiting[index]
        if not waiting:
            return
        content = [struct.pack("<I", index + 1), _length(len(waiting))]
        for stamp_s, values in waiting:
            content.append(struct.pack("<Bd", 8, stamp_s))
            if isinstance(values, str):
                text = values.encode()
                content += [_length(len(text)), text]
            else:
                content.append(np.asarray(values, "<f8").tobytes())
        waiting.clear()
        self._chunk(_SAMPLES, b"".join(content))

    def _chunk(self, tag: int, content: bytes) -> None:
        self._file.write(_length(len(content) + 2) + struct.pack("<H", tag) + content)


def _length(number: int) -> bytes:
    """A number as XDF writes lengths: its size in bytes (1, 4 or 8), then itself."""
    if number < 1 << 8:
        return struct.pack("<BB", 1, number)
    return struct.pack("<BI", 4, number) if number < 1 << 32 else struct.pack("<BQ", 8, number)


def _header(stream: XdfStream, person: Mapping[str, str | None]) -> str:
    subject = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in person.items() if text is not None)
    channels = "".join(
        f"<channel><label>{escape(label)}</label><unit>{escape(unit)}</unit></channel>"
        for label, unit in stream.channels
    )
    return (
        f"{_XML}<info><name>{escape(stream.name)}</name><type>{escape(stream.kind)}</type>"
        f"<channel_count>{len(stream.channels)}</channel_count><nominal_srate>{stream.rate_hz:g}</nominal_srate>"
        f"<channel_format>{'string' if stream.text else 'double64'}</channel_format>"
        f"<source_id>emer-edge {escape(stream.name)}</source_id>"
        f"<desc>{subject}<channels>{channels}</channels></desc></info>"
    )
