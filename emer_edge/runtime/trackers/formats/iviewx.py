"""The `iviewx` format: SMI iView X's remote text protocol over a serial line.

The client sends `ET_FRM "%TS %ET %SX %SY %DX %DY %EX %EY %EZ"` and `ET_STR`; then come lines `ET_SPL <TS> <ET> <SX>
<SY> <DX> <DY> <EX> <EY> <EZ>`, until it sends `ET_EST`. TS is the time in milliseconds (`%TU`, in microseconds, with
`time=us`), ET the eyes: `l`, `r` or `b`, and with `b` every field is a pair, left then right (not verified on a
device). SX, SY is the gaze in pixels of the calibration area, 0 0 without an eye. DX, DY are the pupil in
1/32 pixels of the tracker's camera, which can't be converted to millimetres, and EX, EY, EZ the eye in a frame that
the protocol does not relate to the display: both are ignored.
"""

from __future__ import annotations

import math
import re
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import (
    AREA_PARAMETERS,
    LATEST_NS,
    LineDecoder,
    Parameters,
    SampleEncoder,
    StreamFormat,
    display_area,
    lost,
    number_in,
    reading,
)

_FIELDS: Final = ("SX", "SY", "DX", "DY", "EX", "EY", "EZ")
_COMMAND_BYTES: Final = 1024
_SAMPLE: Final = b"ET_SPL "
_UNITS_NS: Final = {"ms": 1_000_000, "us": 1_000}
_EYES: Final = {b"l": ("left",), b"r": ("right",), b"b": ("left", "right")}

STOP: Final = b"ET_EST\r\n"
"""Ends the stream."""


def start_commands(time: str = "ms") -> bytes:
    """Commands that start the stream, with times in `ms` or `us`."""
    stamp = "%TU" if time == "us" else "%TS"
    fields = " ".join(f"%{field}" for field in _FIELDS)
    return f'ET_FRM "{stamp} %ET {fields}"\r\nET_STR\r\n'.encode()


class IviewxDecoder(LineDecoder):
    """Decoder of the `iviewx` format (see `Decoder`).

    Args:
        display: the display that gaze refers to.
        time: unit of the time, `ms` or `us`.
        area_px: size of the calibration area, where it is not the display's.
    """

    def __init__(self, display: Display, time: str = "ms", area_px: tuple[float, float] | None = None) -> None:
        super().__init__(display)
        self._unit_ns, self.time_name = _UNITS_NS[time], f"time={time}"
        self._area = area_px or (display.width_px, display.height_px)
        self._before: bytes | None = None

    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        start = line.rfind(_SAMPLE)  # a line that lost its end is merged with the next
        if start < 0:
            self.counters.refuse(line, not line.startswith(b"ET_"))  # answers and other events are no damage
            return None
        self.counters.garbage += start > 0
        cells = line[start + len(_SAMPLE) :].split()
        sides = _EYES.get(cells[1]) if len(cells) > 1 else None
        stamp = number_in(cells[0]) if cells else None
        numbers = [number_in(cell) for cell in cells[2:]]
        if sides is None or len(numbers) != len(_FIELDS) * len(sides) or None in numbers or stamp is None:
            self.counters.refuse(line)
            return None
        device = stamp * self._unit_ns
        if not abs(device) < LATEST_NS:
            self.counters.refuse(line)
            return None
        if line[start:] == self._before:
            self.counters.duplicated += 1
            return None
        self._before = line[start:]
        self.counters.samples += 1
        read = {"left": EyeReading(), "right": EyeReading()}
        for at, side in enumerate(sides):
            self.fields.add(f"{side} gaze")
            x, y = (numbers[len(sides) * field + at] or 0.0 for field in (0, 1))
            read[side] = reading(
                self._display, self.counters, gaze=() if lost((x, y)) else (x / self._area[0], y / self._area[1])
            )
        return TrackerSample(round(device), arrival_ns, arrival_ns, left=read["left"], right=read["right"])


class IviewxEncoder(SampleEncoder):
    """SampleEncoder of the `iviewx` format: silent until `ET_STR`, with the fields of `ET_FRM`, both eyes.

    The calibration area is the display.
    """

    def __init__(self, display: Display, rate_hz: float = 120.0) -> None:
        super().__init__(display, rate_hz)
        self._buffer = b""
        self._format: list[str] = []
        self._streaming = False

    def receive(self, data: bytes) -> None:
        """Handle the host's commands."""
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
            pupil = 320.0 * eye.pupil_mm  # 10 camera pixels per millimetre, in 1/32
            place = dict(zip(("EX", "EY", "EZ"), eye.position_mm, strict=True))
            gaze = dict(zip(("SX", "SY"), eye.gaze_px if eye.valid else (0.0, 0.0), strict=True))
            value = {**place, **gaze, "DX": pupil, "DY": pupil}.get(name, 0.0)
            return f"{value if math.isfinite(value) else 0.0:.2f}"

        return number(sample.left), number(sample.right)


def _time_unit(parameters: Parameters) -> str:
    time = parameters.get("time", "ms")
    if time not in _UNITS_NS:
        raise ConfigurationError(f"time={time}: an iviewx tracker counts in {' or '.join(_UNITS_NS)}")
    return time


IVIEWX: Final = StreamFormat(
    name="iviewx",
    help="SMI iView X's remote text protocol; it streams on request",
    parameters={"time": "unit of its times: ms or us", **AREA_PARAMETERS},
    decoder=lambda parameters, display: IviewxDecoder(
        display, _time_unit(parameters), display_area(parameters, display)
    ),
    candidates=lambda display: (IviewxDecoder(display),),
    greeting=lambda parameters: start_commands(_time_unit(parameters)),
    farewell=STOP,
    encoder=IviewxEncoder,
)
