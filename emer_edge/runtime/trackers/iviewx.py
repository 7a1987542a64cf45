"""The `iviewx` format: SMI iView X's remote text protocol over a serial line.

The client sends `ET_FRM "%TS %ET %SX %SY %DX %DY %EX %EY %EZ"` and `ET_STR`; then come lines `ET_SPL <TS> <ET> <SX>
<SY> <DX> <DY> <EX> <EY> <EZ>`, until it sends `ET_EST`. TS is the time in milliseconds (`%TU`, in microseconds, with
`time=us`), ET the eyes: `l`, `r` or `b`, and with `b` every field is a pair, left then right (as far as is known
without a device). SX, SY is the gaze in pixels of the calibration area, 0 0 without an eye. DX, DY are the pupil in
1/32 pixels of the tracker's camera, which nothing turns into millimetres, and EX, EY, EZ the eye in a frame that the
protocol does not tie to the display: both are left out.
"""

from __future__ import annotations

from typing import Final

from emer_edge.runtime.trackers.lines import LATEST_NS, LineDecoder, number_in
from emer_edge.runtime.trackers.readings import reading
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = ["STOP", "IviewxDecoder", "start_commands"]

_FIELDS: Final = ("SX", "SY", "DX", "DY", "EX", "EY", "EZ")
_SAMPLE: Final = b"ET_SPL "
_UNITS_NS: Final = {"ms": 1_000_000, "us": 1_000}
_EYES: Final = {b"l": ("left",), b"r": ("right",), b"b": ("left", "right")}

STOP: Final = b"ET_EST\r\n"
"""Ends the stream."""


def start_commands(time: str = "ms") -> bytes:
    """What a client sends to have samples streamed, times in `ms` or `us`."""
    stamp = "%TU" if time == "us" else "%TS"
    fields = " ".join(f"%{each}" for each in _FIELDS)
    return f'ET_FRM "{stamp} %ET {fields}"\r\nET_STR\r\n'.encode()


class IviewxDecoder(LineDecoder):
    """Decoder of the `iviewx` format (see `Decoder`).

    Args:
        display: the display that gaze refers to.
        time: unit of the time, `ms` or `us`.
        area_px: size of the calibration area, where it is not the display's.
    """

    name = "iviewx"

    def __init__(self, display: Display, time: str = "ms", area_px: tuple[float, float] | None = None) -> None:
        super().__init__(display)
        self._unit_ns = _UNITS_NS[time]
        self._area = area_px or (display.width_px, display.height_px)
        self._before: bytes | None = None

    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        start = line.rfind(_SAMPLE)  # a line that lost its end takes the next along
        if start < 0:
            self.counters.garbage += not line.startswith(b"ET_")  # answers and other events are no damage
            return None
        self.counters.garbage += start > 0
        cells = line[start + len(_SAMPLE) :].split()
        sides = _EYES.get(cells[1]) if len(cells) > 1 else None
        stamp = number_in(cells[0]) if cells else None
        numbers = [number_in(each) for each in cells[2:]]
        if sides is None or len(numbers) != len(_FIELDS) * len(sides) or None in numbers or stamp is None:
            self.counters.garbage += 1
            return None
        device = stamp * self._unit_ns
        if not 0 <= device < LATEST_NS:
            self.counters.garbage += 1
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
                gaze=(x / self._area[0], y / self._area[1]) if x or y else (),
                position_mm=(),
                direction=(),
                pupil_mm=0.0,
                valid=None,
                display=self._display,
                counters=self.counters,
            )
        return TrackerSample(round(device), arrival_ns, arrival_ns, read["left"], read["right"])
