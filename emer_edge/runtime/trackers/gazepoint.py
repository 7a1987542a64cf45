"""Gazepoint's records (Open Gaze API 2.0): the same field names in a stream of `<REC ... />` and in a CSV file.

===========================  ==========================================================================================
field                        meaning
===========================  ==========================================================================================
`CNT`                        +1 a record: shows loss
`TIME`                       s since the start or the last calibration, at which it starts again
`TIME_TICK`                  the tracker host's tick counter, which never starts again; its frequency is asked for
`LPOGX`, `LPOGY`, `LPOGV`    gaze of the left eye, fraction of the screen, origin top left; whether it is valid
`BPOG*`, `FPOG*`             the best of both eyes, and the fixation: taken for both eyes where theirs are not sent
`LPMM`, `LPMMV`              pupil diameter, mm
`LPUPILD`, `LPUPILV`         pupil diameter, metres; also the validity of
`LEYEX`, `LEYEY`, `LEYEZ`    position of the left eye from the camera, metres
===========================  ==========================================================================================

and likewise `R...` of the right eye. The API's manual gives the origin of eye positions, the camera, and their unit;
it gives neither the directions of the axes nor where the camera stands. So they can't become DACS mm unless someone
who has measured it says so (`CameraPlace`), and are left out otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.trackers.base import Counters
from emer_edge.runtime.trackers.lines import LATEST_NS, SequenceFollower
from emer_edge.runtime.trackers.readings import reading
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = ["AXES", "CameraPlace", "RecordReader"]

AXES: Final = {"right-up": (1, 1), "right-down": (1, -1), "left-up": (-1, 1), "left-down": (-1, -1)}
"""Where the camera's x and y can point, as the viewer sees the display -> their signs."""

_EYES: Final = (("left", "L"), ("right", "R"))
_FARTHEST_MM: Final = 3000.0
_SLOWEST_TICK_HZ: Final = 1.0


@dataclass(frozen=True)
class CameraPlace:
    """Where a tracker's camera stands, for turning its frame into DACS.

    Attributes:
        origin_mm: the camera in DACS: mm from the display area's top left corner, x right, y down, z to the viewer.
        tilt_degrees: how far it looks upward from straight ahead.
        axes: a key of `AXES`; its z always points away from it.
    """

    origin_mm: tuple[float, float, float]
    tilt_degrees: float = 0.0
    axes: str = "right-up"

    @classmethod
    def parse(cls, camera: str, axes: str = "right-up") -> CameraPlace:
        """Read `263,320,20` or `263,320,20,15` (mm, mm, mm, degrees); ConfigurationError on anything else."""
        try:
            x, y, z, tilt = (*(float(each) for each in camera.split(",")), 0.0)[:4]
            whole = camera.count(",") in (2, 3)
        except ValueError:
            whole, x, y, z, tilt = False, 0.0, 0.0, 0.0, 0.0
        if not whole or not all(abs(each) <= _FARTHEST_MM for each in (x, y, z)) or not abs(tilt) <= 90:
            raise ConfigurationError(
                f"camera={camera} is not a place; write x,y,z in mm from the display's top left corner (y down, z to "
                "the viewer) and, where it looks upward, the degrees: camera=263,320,20,15"
            )
        if axes not in AXES:
            raise ConfigurationError(f"axes={axes} are unknown; they are one of {', '.join(AXES)}")
        return cls((x, y, z), tilt, axes)

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
        x, y, z = (each - at for each, at in zip(position_mm, self.origin_mm, strict=True))
        sine, cosine = math.sin(math.radians(self.tilt_degrees)), math.cos(math.radians(self.tilt_degrees))
        return (right * x, up * (-y * cosine - z * sine), -y * sine + z * cosine)


class RecordReader:
    """Turns the numbers of records into samples.

    Args:
        display: the display that gaze fractions refer to.
        counters: what became of them; kept up to date.
        fields: which fields the records have had; kept up to date.
        camera: where the camera stands; None leaves eye positions out.

    Attributes:
        tick_hz: frequency of `TIME_TICK`; None: `TIME` is the device's clock.
        saw_positions: whether records had eye positions.
    """

    def __init__(self, display: Display, counters: Counters, fields: set[str], camera: CameraPlace | None) -> None:
        self._display, self._camera = display, camera
        self._counters, self._fields = counters, fields
        self._sequence = SequenceFollower(counters)
        self.tick_hz: float | None = None
        self.saw_positions = False

    def read(self, numbers: Mapping[str, float], arrival_ns: int) -> TrackerSample | None:
        """Read one record: field name -> number; None without gaze, when repeated, or with a time that can't be."""
        sources = {eye: self._gaze_source(numbers, letter) for eye, letter in _EYES}
        if not any(sources.values()):
            self._counters.unsupported += 1
            return None
        device_ns = self._device_ns(numbers)
        if device_ns is not None and not 0 <= device_ns < LATEST_NS:
            self._counters.garbage += 1
            return None
        if self._sequence.repeats(numbers.get("CNT", math.nan), device_ns):
            return None
        self._counters.samples += 1
        left, right = (self._eye(numbers, eye, letter, sources[eye]) for eye, letter in _EYES)
        return TrackerSample(device_ns, arrival_ns, arrival_ns, left, right)

    def _device_ns(self, numbers: Mapping[str, float]) -> int | None:
        tick = numbers.get("TIME_TICK", math.nan)
        if self.tick_hz and self.tick_hz >= _SLOWEST_TICK_HZ and math.isfinite(tick):
            return round(tick * 1e9 / self.tick_hz) if abs(tick) < LATEST_NS else LATEST_NS
        time_s = numbers.get("TIME", math.nan)
        if not math.isfinite(time_s):
            return None
        return round(time_s * 1e9) if abs(time_s) < LATEST_NS else LATEST_NS

    @staticmethod
    def _gaze_source(numbers: Mapping[str, float], letter: str) -> str:
        return next((each for each in (letter, "B", "F") if f"{each}POGX" in numbers and f"{each}POGY" in numbers), "")

    def _eye(self, numbers: Mapping[str, float], eye: str, letter: str, source: str) -> EyeReading:
        def valid(name: str) -> bool:
            return numbers.get(name, 1.0) == 1.0

        gaze: tuple[float, ...] = ()
        if source:
            self._fields.add(f"{eye} gaze")
            gaze = (numbers[f"{source}POGX"], numbers[f"{source}POGY"])
        pupil_mm = math.nan
        if f"{letter}PMM" in numbers or f"{letter}PUPILD" in numbers:
            self._fields.add(f"{eye} pupil")
            if f"{letter}PMM" in numbers:
                pupil_mm = numbers[f"{letter}PMM"] if valid(f"{letter}PMMV") else math.nan
            elif valid(f"{letter}PUPILV"):
                pupil_mm = 1000.0 * numbers[f"{letter}PUPILD"]
        return reading(
            gaze=gaze,
            position_mm=self._position_mm(numbers, eye, letter) if valid(f"{letter}PUPILV") else (),
            direction=(),
            pupil_mm=pupil_mm,
            valid=bool(source) and valid(f"{source}POGV"),
            display=self._display,
            counters=self._counters,
        )

    def _position_mm(self, numbers: Mapping[str, float], eye: str, letter: str) -> tuple[float, ...]:
        metres = [numbers.get(f"{letter}EYE{axis}", math.nan) for axis in "XYZ"]
        if not all(map(math.isfinite, metres)) or not any(metres):
            return ()
        self.saw_positions = True
        if self._camera is None:
            return ()
        self._fields.add(f"{eye} position")
        x, y, z = (1000.0 * each for each in metres)
        return self._camera.dacs_mm((x, y, z))
