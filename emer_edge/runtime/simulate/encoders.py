"""The serial formats from the device's side: samples to bytes, one encoder a format."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import Final, Protocol

from emer_edge.runtime.simulate.records import record_fields, record_line
from emer_edge.runtime.trackers.csv_lines import CSV_HEADER, csv_line
from emer_edge.runtime.trackers.emer import encode_sample
from emer_edge.runtime.trackers.iscan import MARK
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = [
    "ENCODERS",
    "CsvEncoder",
    "EmerEncoder",
    "Encoder",
    "IscanEncoder",
    "IviewxEncoder",
    "OpenGazeEncoder",
]

_COMMAND_BYTES: Final = 1024


class Encoder(Protocol):
    """One tracker's side of a serial format."""

    def encode(self, sample: TrackerSample) -> bytes:
        """The bytes of the next sample; empty while the tracker has not been asked to stream."""
        ...

    def receive(self, data: bytes) -> None:
        """Take what the host sends."""
        ...


class _Numbered:
    """Counts samples; the host's words mean nothing to it."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._sequence = -1

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def receive(self, data: bytes) -> None:
        """Pass over what the host sends."""


class EmerEncoder(_Numbered):
    """The `emer` format."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a packet."""
        return encode_sample(sample, self._next(), self._display)


class CsvEncoder(_Numbered):
    """The `csv` format with all its columns, the header about once a second.

    Args:
        display: what gaze refers to.
        rate_hz: samples a second.
    """

    def __init__(self, display: Display, rate_hz: float) -> None:
        super().__init__(display)
        self._repeat = max(1, round(rate_hz))

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a line, and a header before it when it is time."""
        sequence = self._next()
        header = f"{CSV_HEADER}\n" if sequence % self._repeat == 0 else ""
        return f"{header}{csv_line(sample, sequence, self._display)}\n".encode()


class OpenGazeEncoder(_Numbered):
    """The `opengaze` format: records with all their fields, as over TCP."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a record."""
        groups = record_fields(sample, self._next(), self._display)
        return record_line({name: text for fields in groups.values() for name, text in fields.items()})


class IviewxEncoder:
    """The `iviewx` format: silent until `ET_STR`, in the order that `ET_FRM` asks for, both eyes.

    Args:
        display: the calibration area.
    """

    def __init__(self, display: Display) -> None:
        self._buffer = b""
        self._format: list[str] = []
        self._streaming = False

    def receive(self, data: bytes) -> None:
        """Follow the host's commands."""
        *lines, self._buffer = (self._buffer + data)[-_COMMAND_BYTES:].split(b"\n")
        for line in lines:
            command, _, rest = line.decode("ascii", "replace").strip().partition(" ")
            if command == "ET_FRM":
                self._format = re.findall(r"%([A-Z]{2})", rest)
            elif command in ("ET_STR", "ET_EST"):
                self._streaming = command == "ET_STR"

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a line."""
        if not self._streaming or not self._format:
            return b""
        cells = [text for name in self._format for text in self._cells(name, sample)]
        return f"ET_SPL {' '.join(cells)}\r\n".encode()

    @staticmethod
    def _cells(name: str, sample: TrackerSample) -> tuple[str, ...]:
        time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
        if name in ("TS", "TU"):
            return (str(time_ns // (1_000_000 if name == "TS" else 1_000)),)
        if name == "ET":
            return ("b",)

        def number(eye: EyeReading) -> str:
            pupil = 320.0 * eye.pupil_mm  # 10 camera pixels a millimetre, in 1/32
            place = dict(zip(("EX", "EY", "EZ"), eye.position_mm, strict=True))
            gaze = dict(zip(("SX", "SY"), eye.gaze_px if eye.valid else (0.0, 0.0), strict=True))
            value = {**place, **gaze, "DX": pupil, "DY": pupil}.get(name, 0.0)
            return f"{value if math.isfinite(value) else 0.0:.2f}"

        return number(sample.left), number(sample.right)


class IscanEncoder:
    """The `iscan` format: the mean gaze of the valid eyes in display pixels, 0 0 without one.

    Args:
        display: whose pixels are sent.
        items: integers a frame, 2 or 3; the third is 0.
    """

    def __init__(self, display: Display, items: int = 2) -> None:
        self._items = items

    def receive(self, data: bytes) -> None:
        """Pass over what the host sends."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a frame."""
        seen = [each.gaze_px for each in (sample.left, sample.right) if each.valid and math.isfinite(each.gaze_px[0])]
        point = [0, 0]
        if seen:
            point = [max(-32768, min(32767, round(sum(each[axis] for each in seen) / len(seen)))) for axis in (0, 1)]
        items = [*point, *([0] * (self._items - 2))]
        # The mark is never sent as an item: readers take it for a lost place.
        return MARK + struct.pack(f"<{self._items}h", *(each + (each == 0x4444) for each in items))


ENCODERS: Final[dict[str, Callable[[Display, float], Encoder]]] = {
    "emer": lambda display, rate_hz: EmerEncoder(display),
    "csv": CsvEncoder,
    "opengaze": lambda display, rate_hz: OpenGazeEncoder(display),
    "iviewx": lambda display, rate_hz: IviewxEncoder(display),
    "iscan": lambda display, rate_hz: IscanEncoder(display),
}
"""Format -> what makes its encoder, from the display and the rate in Hz."""
