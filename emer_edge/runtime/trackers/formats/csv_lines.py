"""The `csv` format: a header line that names columns, then one line per sample, for hand-made trackers.

Columns, in any order; `left` and `right` without their prefix (`x`, `y`, `pupil_mm`, ...) mean both eyes alike:

=======================================  ==============================================================
column                                   meaning
=======================================  ==============================================================
`time_us`, `time_ms`, `time_s`           the tracker's clock; without one, samples have arrival times
`sequence`                               +1 per sample: shows loss
`left_x`, `left_y`                       gaze as fraction of the display, origin top left, y down
`left_x_px`, `left_y_px`                 gaze in display pixels
`left_pupil_mm`                          pupil diameter
`left_valid`                             1 or 0 (`valid=` names another code); without it an eye with gaze is valid
`left_confidence`                        0 to 1; from 0.6 on an eye is valid
`left_eye_x_mm`, `..y_mm`, `..z_mm`      position of the eye, DACS mm
`left_direction_x`, `.._y`, `.._z`       gaze direction, unit vector
=======================================  ==============================================================

Cells are separated by commas, semicolons or tabs; the decimal mark is a point, or a comma where no comma separates; an
empty cell, `nan` or `NA` means missing; other columns are ignored. Lines end with a line feed, are ASCII, and are at
most 4 KiB long. A tracker that may be connected to later repeats its header about once a second; a header that differs
from the present one counts when it comes twice, so that a damaged one costs one line.
"""

from __future__ import annotations

import math
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import (
    FIELDS,
    LATEST_NS,
    VALID_PARAMETER,
    LineDecoder,
    SampleEncoder,
    SequenceFollower,
    StreamFormat,
    ValidityCodes,
    lost,
    number_in,
    reading,
)

_TIMES_NS: Final = {"time_us": 1e3, "time_ms": 1e6, "time_s": 1e9}
_PARTS: Final = {
    "gaze": ("x", "y"),
    "gaze px": ("x_px", "y_px"),
    "position": ("eye_x_mm", "eye_y_mm", "eye_z_mm"),
    "direction": ("direction_x", "direction_y", "direction_z"),
    "pupil": ("pupil_mm",),
    "valid": ("valid",),
    "confidence": ("confidence",),
}
_EYES: Final = ("left", "right")
_SENT: Final = tuple(part for part in _PARTS if part not in ("gaze px", "confidence"))

CSV_HEADER: Final = ",".join(
    ("time_us", "sequence", *(f"{eye}_{name}" for eye in _EYES for part in _SENT for name in _PARTS[part]))
)
"""All columns of the format, as the simulator writes them."""


class CsvDecoder(LineDecoder):
    """Decoder of the `csv` format (see `Decoder`).

    Args:
        display: the display that gaze refers to.
        columns: the header line, for a tracker that sends none.
        validity: which code means a valid eye.

    Raises:
        ConfigurationError: `columns` names no gaze column.
    """

    def __init__(self, display: Display, columns: str | None = None, validity: ValidityCodes | None = None) -> None:
        super().__init__(display)
        self.validity = validity or ValidityCodes()
        self._header: tuple[str, ...] | None = None
        self._candidate: tuple[str, ...] | None = None
        self._at: dict[str, int] = {}
        self._sequence = SequenceFollower(self.counters)
        if columns is not None:
            names = _header(columns.encode())
            if names is None:
                raise ConfigurationError(f"columns={columns} names no gaze column; known columns are {CSV_HEADER}")
            self._take(names)

    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        names = _header(line)
        if names is not None:
            if self._header is None or names == self._candidate != self._header:
                self._take(names)
            self._candidate = names
            return None
        if self._header is None:
            self.counters.headerless += 1
            self.counters.refuse(line, 0)
            return None
        numbers = [number_in(cell) for cell in _cells(line)]
        if len(numbers) != len(self._header) or any(numbers[at] is None for at in self._at.values()):
            self.counters.refuse(line)
            return None
        cells = {name: numbers[at] or 0.0 for name, at in self._at.items()}
        device = cells[self.time_name] * _TIMES_NS[self.time_name] if self.time_name else 0.0
        if not abs(device) < LATEST_NS:  # it may be negative, as on a clock that counts from an event on
            self.counters.refuse(line)
            return None
        return self._sample(cells, round(device) if self.time_name else None, arrival_ns)

    def _take(self, names: tuple[str, ...]) -> None:
        self._header = names
        known = {f"{eye}_{name}" for eye in _EYES for part in _PARTS.values() for name in part}
        self._at = {
            name: at for at, name in enumerate(names) if name in known or name in _TIMES_NS or name == "sequence"
        }
        for at, name in enumerate(names):
            for eye in _EYES:
                if f"{eye}_{name}" in known:
                    self._at.setdefault(f"{eye}_{name}", at)
        self.time_name = next((name for name in _TIMES_NS if name in self._at), "")
        self._sequence.restart()
        for eye in _EYES:
            for part in (*FIELDS, "gaze px"):
                if all(f"{eye}_{name}" in self._at for name in _PARTS[part]):
                    self.fields.add(f"{eye} {part.removesuffix(' px')}")

    def _sample(self, cells: dict[str, float], device_ns: int | None, arrival_ns: int) -> TrackerSample | None:
        if self._sequence.repeats(cells.get("sequence", math.nan), device_ns):
            return None
        self.counters.samples += 1
        left, right = (self._eye(cells, eye) for eye in _EYES)
        return TrackerSample(device_ns, arrival_ns, arrival_ns, left=left, right=right)

    def _eye(self, cells: dict[str, float], eye: str) -> EyeReading:
        def part(name: str) -> tuple[float, ...]:
            numbers = tuple(cells.get(f"{eye}_{key}", math.nan) for key in _PARTS[name])
            return numbers if all(map(math.isfinite, numbers)) and not lost(numbers) else ()

        gaze, pixels = part("gaze"), part("gaze px")
        if not gaze and pixels:
            gaze = (pixels[0] / self._display.width_px, pixels[1] / self._display.height_px)
        valid, confidence = (cells.get(f"{eye}_{name}", math.nan) for name in ("valid", "confidence"))
        return reading(
            self._display,
            self.counters,
            gaze=gaze,
            position_mm=part("position"),
            direction=part("direction"),
            pupil_mm=cells.get(f"{eye}_pupil_mm", math.nan),
            valid=self.validity.says(valid, confidence),
        )


def is_header(line: bytes) -> bool:
    """Whether a line is a header of this format."""
    return _header(line) is not None


def _cells(line: bytes) -> list[bytes]:
    separator = next((mark for mark in (b";", b"\t") if mark in line), b",")
    return [cell.strip() for cell in line.split(separator)]


def _header(line: bytes) -> tuple[str, ...] | None:
    """The column names, where `line` is a header: ASCII names, with x and y of at least one eye among them."""
    if not line.isascii() or b"x" not in line.lower():
        return None
    names = tuple(cell.decode("ascii").lower() for cell in _cells(line))
    for prefix in ("", *(f"{eye}_" for eye in _EYES)):
        for part in ("gaze", "gaze px"):
            if all(f"{prefix}{name}" in names for name in _PARTS[part]):
                return names
    return None


class CsvEncoder(SampleEncoder):
    """SampleEncoder of the `csv` format with all its columns, and the header about once a second."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a line, with a header before it about once a second."""
        sequence = self._next()
        time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
        cells = [str(time_ns // 1000), str(sequence)]
        for eye in (sample.left, sample.right):
            gaze = (eye.gaze_px[0] / self._display.width_px, eye.gaze_px[1] / self._display.height_px)
            numbers = (*gaze, *eye.position_mm, *eye.direction, eye.pupil_mm)
            cells += ["" if math.isnan(number) else f"{number:.7g}" for number in numbers]
            cells.append(str(int(eye.valid)))
        header = f"{CSV_HEADER}\n" if sequence % max(1, round(self._rate_hz)) == 0 else ""
        return f"{header}{','.join(cells)}\n".encode()


CSV: Final = StreamFormat(
    name="csv",
    help="lines under a header that names their columns, for hand-made trackers",
    parameters={"columns": "the header of a tracker that sends none", **VALID_PARAMETER},
    decoder=lambda parameters, display: CsvDecoder(display, parameters.get("columns"), ValidityCodes.of(parameters)),
    encoder=CsvEncoder,
)
