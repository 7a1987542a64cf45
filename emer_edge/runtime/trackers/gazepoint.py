"""Gazepoint's records (Open Gaze API 2.0): the same field names in a stream of `<REC ... />` and in a CSV file.

===========================  ==========================================================================================
field                        meaning
===========================  ==========================================================================================
`CNT`                        +1 per record: shows loss
`TIME`                       s since the start or the last calibration, at which it restarts
`TIME_TICK`                  the tracker host's tick counter, which never restarts; its frequency is a reply
`LPOGX`, `LPOGY`, `LPOGV`    gaze of the left eye, fraction of the screen, origin top left; whether it is valid
`BPOG*`, `FPOG*`             the best of both eyes, and the fixation: taken for both eyes where theirs are not sent
`LPMM`, `LPMMV`              pupil diameter, mm
`LPUPILD`, `LPUPILV`         pupil diameter, metres; also the validity of
`LEYEX`, `LEYEY`, `LEYEZ`    position of the left eye from the camera, metres
===========================  ==========================================================================================

and likewise `R...` of the right eye. The API's manual gives the origin of eye positions, the camera, and their unit;
it gives neither the directions of the axes nor the camera's place. So they become DACS mm only where the user has
measured it (`CameraPlace`), and are left out otherwise.

A CSV file has the field names as a header, then one record per line. Among them are `TIME(2023/05/04 10:11:12.345)`,
seconds since that moment, and `TIMETICK(f=10000000)`, ticks of that frequency, used where a file has no time column.
Other columns are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.data.tables import Table
from emer_edge.runtime.trackers.codec import (
    LATEST_NS,
    Counters,
    Parameters,
    SequenceFollower,
    lost,
    number_in,
    reading,
    shown,
)

AXES: Final = {"right-up": (1, 1), "right-down": (1, -1), "left-up": (-1, 1), "left-down": (-1, -1)}
"""Directions of the camera's x and y, as the viewer sees the display -> their signs."""

CAMERA_PARAMETERS: Final = {
    "camera": "x,y,z[,tilt]: place of the tracker's camera, mm from the display's top left corner, and degrees up",
    "axes": f"directions of the camera's x and y: {', '.join(AXES)}",
}
"""Parameters that `CameraPlace.of` reads."""

_EYES: Final = (("left", "L"), ("right", "R"))
_FARTHEST_MM: Final = 3000.0
_SLOWEST_TICK_HZ: Final = 1.0


@dataclass(frozen=True)
class CameraPlace:
    """Place of a tracker's camera, for turning its frame into DACS.

    Attributes:
        origin_mm: the camera in DACS: mm from the display area's top left corner, x right, y down, z to the viewer.
        tilt_degrees: upward tilt from straight ahead.
        axes: a key of `AXES`; its z always points away from it.
    """

    origin_mm: tuple[float, float, float]
    tilt_degrees: float = 0.0
    axes: str = "right-up"

    @classmethod
    def parse(cls, camera: str, axes: str = "right-up") -> CameraPlace:
        """Read `263,320,20` or `263,320,20,15` (mm, mm, mm, degrees); ConfigurationError on anything else."""
        try:
            x, y, z, tilt = (*(float(number) for number in camera.split(",")), 0.0)[:4]
            whole = camera.count(",") in (2, 3)
        except ValueError:
            whole, x, y, z, tilt = False, 0.0, 0.0, 0.0, 0.0
        if not whole or not all(abs(number) <= _FARTHEST_MM for number in (x, y, z)) or not abs(tilt) <= 90:
            raise ConfigurationError(
                f"camera={camera} is not a place; write x,y,z in mm from the display's top left corner (y down, z to "
                "the viewer) and, where it looks upward, the degrees: camera=263,320,20,15"
            )
        if axes not in AXES:
            raise ConfigurationError(f"axes={axes} are unknown; they are one of {', '.join(AXES)}")
        return cls((x, y, z), tilt, axes)

    @classmethod
    def of(cls, parameters: Parameters) -> CameraPlace | None:
        """Read `camera=` and `axes=` of an address; None without; ConfigurationError on anything else."""
        if "camera" in parameters:
            return cls.parse(parameters["camera"], parameters.get("axes", "right-up"))
        if "axes" in parameters:
            raise ConfigurationError("axes= gives the directions of the tracker's camera; it needs camera= too")
        return None

    def dacs_mm(self, position_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Turn a position from the camera, mm along its axes, into DACS mm."""
        right, up = AXES[self.axes]
        x, y, z = right * position_mm[0], up * position_mm[1], position_mm[2]
        sine, cosine = math.sin(math.radians(self.tilt_degrees)), math.cos(math.radians(self.tilt_degrees))
        # DACS has y down: the tilted camera's z is (0, -sin, cos), its upward axis (0, -cos, -sin).
        at = self.origin_mm
        return (at[0] + x, at[1] - y * cosine - z * sine, at[2] - y * sine + z * cosine)

    def camera_mm(self, position_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Undo `dacs_mm`."""
        right, up = AXES[self.axes]
        x, y, z = (number - at for number, at in zip(position_mm, self.origin_mm, strict=True))
        sine, cosine = math.sin(math.radians(self.tilt_degrees)), math.cos(math.radians(self.tilt_degrees))
        return (right * x, up * (-y * cosine - z * sine), -y * sine + z * cosine)


class RecordReader:
    """Turns the numbers of records into samples.

    Args:
        display: the display that gaze fractions refer to.
        counters: what became of them; kept up to date.
        fields: which fields the records have had; kept up to date.
        camera: place of the camera; None leaves eye positions out.

    Attributes:
        tick_hz: frequency of `TIME_TICK`; None: `TIME` is the device's clock.
        positions_left_out: whether records had eye positions that could not be placed.
    """

    def __init__(self, display: Display, counters: Counters, fields: set[str], camera: CameraPlace | None) -> None:
        self._display, self._camera = display, camera
        self.counters, self.fields = counters, fields
        self._sequence = SequenceFollower(counters)
        self.tick_hz: float | None = None
        self.positions_left_out = False

    def read(self, numbers: Mapping[str, float], arrival_ns: int) -> TrackerSample | None:
        """Read one record: field name -> number; None without gaze, when repeated, or with a time that can't be."""
        given = [source for source in "LRBF" if f"{source}POGX" in numbers and f"{source}POGY" in numbers]
        sources = {eye: next((source for source in (letter, "B", "F") if source in given), "") for eye, letter in _EYES}
        if not any(sources.values()):
            self.counters.unsupported += 1
            return None
        device_ns = self._device_ns(numbers)
        if device_ns is not None and not abs(device_ns) < LATEST_NS:
            self.counters.garbage += 1
            return None
        if self._sequence.repeats(numbers.get("CNT", math.nan), device_ns):
            return None
        self.counters.samples += 1
        left, right = (self._eye(numbers, eye, letter, sources[eye]) for eye, letter in _EYES)
        return TrackerSample(device_ns, arrival_ns, arrival_ns, left=left, right=right)

    def _device_ns(self, numbers: Mapping[str, float]) -> int | None:
        tick = numbers.get("TIME_TICK", math.nan)
        if self.tick_hz and self.tick_hz >= _SLOWEST_TICK_HZ and math.isfinite(tick):
            return round(tick * 1e9 / self.tick_hz) if abs(tick) < LATEST_NS else LATEST_NS
        time_s = numbers.get("TIME", math.nan)
        if not math.isfinite(time_s):
            return None
        return round(time_s * 1e9) if abs(time_s) < LATEST_NS else LATEST_NS

    def _eye(self, numbers: Mapping[str, float], eye: str, letter: str, source: str) -> EyeReading:
        def valid(name: str) -> bool:
            return numbers.get(name, 1.0) == 1.0

        gaze: tuple[float, ...] = ()
        if source:
            self.fields.add(f"{eye} gaze")
            gaze = (numbers[f"{source}POGX"], numbers[f"{source}POGY"])
        pupil_mm = math.nan
        if f"{letter}PMM" in numbers or f"{letter}PUPILD" in numbers:
            self.fields.add(f"{eye} pupil")
            if f"{letter}PMM" in numbers:
                pupil_mm = numbers[f"{letter}PMM"] if valid(f"{letter}PMMV") else math.nan
            elif valid(f"{letter}PUPILV"):
                pupil_mm = 1000.0 * numbers[f"{letter}PUPILD"]
        return reading(
            self._display,
            self.counters,
            gaze=() if lost(gaze) else gaze,
            position_mm=self._position_mm(numbers, eye, letter) if valid(f"{letter}PUPILV") else (),
            pupil_mm=pupil_mm,
            valid=bool(source) and valid(f"{source}POGV"),
        )

    def _position_mm(self, numbers: Mapping[str, float], eye: str, letter: str) -> tuple[float, ...]:
        metres = [numbers.get(f"{letter}EYE{axis}", math.nan) for axis in "XYZ"]
        if not all(map(math.isfinite, metres)) or not any(metres):
            return ()
        if self._camera is None:
            self.positions_left_out = True
            return ()
        self.fields.add(f"{eye} position")
        x, y, z = (1000.0 * metre for metre in metres)
        return self._camera.dacs_mm((x, y, z))


_NAME: Final = re.compile(r"\s*(TIME_?TICK|TIME|\w+)\s*(?:\((.*)\))?\s*\Z")
_FREQUENCY: Final = re.compile(r"f\s*=\s*(\d+(?:\.\d+)?)")
_GAZE: Final = re.compile(r"[LRBF]POGX")


def is_gazepoint_header(header: Sequence[str]) -> bool:
    """Whether names are the header of a Gazepoint CSV."""
    return any(_GAZE.fullmatch(name) for name in header)


def read_gazepoint_csv(
    table: Table, display: Display, camera: CameraPlace | None = None
) -> tuple[list[TrackerSample], RecordReader]:
    """Read a file's table; without the place of the tracker's camera, eye positions are left out.

    Returns:
        Samples stamped in the file's own time, and the reader with its counters and fields.

    Raises:
        TrackerError: no time column, or no record that can be read.
    """
    path = table.path
    names, tick_hz = _names(table.header)
    if "TIME" not in names and not ("TIME_TICK" in names and tick_hz):
        raise TrackerError(f"{path} has no TIME column; export it from Gazepoint Analysis too")
    counters = Counters()
    reader = RecordReader(display, counters, set(), camera)
    reader.tick_hz = None if "TIME" in names else tick_hz
    samples: list[TrackerSample] = []
    for cells in table.plain_rows():
        numbers = _numbers(names, cells)
        if numbers is None:
            counters.refuse(",".join(cells).encode(), any(cells))
            continue
        sample = reader.read(numbers, 0)
        if sample is not None and sample.device_ns is not None:
            stamp_ns = sample.device_ns
            samples.append(TrackerSample(stamp_ns, stamp_ns, stamp_ns, left=sample.left, right=sample.right))
    if not samples:
        raise TrackerError(
            f"{path} has a header but no record that can be read ({counters.garbage} bad lines, "
            f"the first: {shown(counters.example)})"
        )
    return samples, reader


def _names(header: Sequence[str]) -> tuple[list[str], float | None]:
    """The fields' names, and the frequency of the tick column, if any."""
    names: list[str] = []
    tick_hz: float | None = None
    for cell in header:
        match = _NAME.match(cell.strip().strip('"'))
        name = match[1] if match else cell
        if match and name in ("TIMETICK", "TIME_TICK"):
            name = "TIME_TICK"
            frequency = _FREQUENCY.search(match[2] or "")
            tick_hz = float(frequency[1]) if frequency and float(frequency[1]) > 0 else None
        names.append(name)
    return names, tick_hz


def _numbers(names: list[str], cells: list[str]) -> dict[str, float] | None:
    """Field name -> number, others left out; None for a row of another length."""
    if not len(names) - 1 <= len(cells) <= len(names) + 1:  # a separator may end the header or the lines
        return None
    numbers = {}
    for name, cell in zip(names, cells, strict=False):
        number = number_in(cell.encode())
        if number is not None and not math.isnan(number):
            numbers[name] = number
    return numbers
