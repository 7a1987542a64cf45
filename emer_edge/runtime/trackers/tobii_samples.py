"""Gaze dictionaries of the Tobii Pro SDK as samples.

The SDK gives points in its user coordinate system: mm from the tracker's centre, x right and y up as the viewer sees
it, z towards the viewer. The display area's corners, in the same system, turn them into DACS:

    x = (top right - top left) / its length        n = unit of (bottom left - top left) cross x, towards the viewer
    y = x cross n, down along the display          DACS = ((p - top left) . x, (p - top left) . y, (p - top left) . n)

so that the display's tilt and place are taken out, whatever they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emer_edge.core.errors import TrackerError
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import Counters, reading

Vector = tuple[float, float, float]

FIELDS: Final = frozenset(f"{eye} {part}" for eye in ("left", "right") for part in ("gaze", "position", "pupil"))
"""What every dictionary holds, for `unfilled_by`."""

_LEAST_MM: Final = 10.0
_LATEST_US: Final = 1 << 52


@dataclass(frozen=True)
class DisplayFrame:
    """The display area as the frame of DACS.

    Attributes:
        origin_mm: its top left corner, in user coordinates.
        right, down, normal: unit vectors along its upper edge, along its left edge, and towards the viewer.
        width_mm, height_mm: its size.
    """

    origin_mm: Vector
    right: Vector
    down: Vector
    normal: Vector
    width_mm: float
    height_mm: float

    @classmethod
    def of(cls, area: Any) -> DisplayFrame:
        """From what `get_display_area()` returns (see `spanned`)."""
        return cls.spanned(area.top_left, area.top_right, area.bottom_left)

    @classmethod
    def spanned(
        cls, top_left: Sequence[float], top_right: Sequence[float], bottom_left: Sequence[float]
    ) -> DisplayFrame:
        """From three corners, mm in user coordinates.

        Raises:
            TrackerError: they span no area.
        """
        corner, right, down = (_vector(each) for each in (top_left, top_right, bottom_left))
        across, along = _minus(right, corner), _minus(down, corner)
        width_mm, height_mm = math.hypot(*across), math.hypot(*along)
        normal = _cross(along, across)
        span = math.hypot(*normal)
        if not (width_mm >= _LEAST_MM and height_mm >= _LEAST_MM and span >= 0.5 * width_mm * height_mm):
            raise TrackerError(
                f"the tracker's display area has the corners {corner}, {right}, {down}, which is no display; set it up "
                "with Tobii Pro Eye Tracker Manager"
            )
        x, n = _scaled(across, 1 / width_mm), _scaled(normal, 1 / span)
        return cls(corner, x, _cross(x, n), n, width_mm=width_mm, height_mm=height_mm)

    def dacs_mm(self, point_mm: Sequence[float]) -> Vector:
        """Turn a point of user coordinates into DACS, mm; NaN stays NaN."""
        offset = _minus(_vector(point_mm), self.origin_mm)
        return _dot(offset, self.right), _dot(offset, self.down), _dot(offset, self.normal)


def sample_of(
    data: Mapping[str, Any], arrival_ns: int, frame: DisplayFrame, display: Display, counters: Counters
) -> TrackerSample | None:
    """Turn a dictionary of `EYETRACKER_GAZE_DATA` into a sample; None, and counted as garbage, where it is none.

    Args:
        data: as `subscribe_to(..., as_dictionary=True)` hands it over; `device_time_stamp` in microseconds.
        arrival_ns: when it was handed over.
        frame: the display area.
        display: turns fractions into pixels.
        counters: what became of the dictionaries.
    """
    try:
        device_us = int(data["device_time_stamp"])
        eyes = [_eye(data, side, frame, display, counters=counters) for side in ("left", "right")]
    except (KeyError, TypeError, ValueError, OverflowError):
        counters.garbage += 1
        return None
    if not 0 <= device_us < _LATEST_US:
        counters.garbage += 1
        return None
    counters.samples += 1
    return TrackerSample(device_us * 1000, arrival_ns, arrival_ns, left=eyes[0], right=eyes[1])


def _eye(data: Mapping[str, Any], side: str, frame: DisplayFrame, display: Display, counters: Counters) -> EyeReading:
    valid = data[f"{side}_gaze_point_validity"] == 1
    seen = data[f"{side}_gaze_origin_validity"] == 1
    fractions = [float(each) for each in data[f"{side}_gaze_point_on_display_area"]]
    point_mm = frame.dacs_mm(data[f"{side}_gaze_point_in_user_coordinate_system"])
    pupil = float(data[f"{side}_pupil_diameter"]) if data[f"{side}_pupil_validity"] == 1 else math.nan
    if len(fractions) != 2:
        raise ValueError(f"a gaze point has 2 coordinates, not {len(fractions)}")
    checked = reading(
        display,
        counters,
        gaze=fractions if valid else (),
        position_mm=frame.dacs_mm(data[f"{side}_gaze_origin_in_user_coordinate_system"]) if seen else MISSING_3,
        pupil_mm=pupil,
        valid=valid,
    )
    gaze_mm = point_mm[:2] if checked.valid and all(map(math.isfinite, point_mm)) else MISSING_2
    return EyeReading(
        checked.gaze_px, gaze_mm, checked.direction, checked.position_mm, pupil_mm=checked.pupil_mm, valid=checked.valid
    )


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = (float(each) for each in numbers)
    return x, y, z


def _minus(one: Vector, other: Vector) -> Vector:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def _scaled(one: Vector, factor: float) -> Vector:
    return one[0] * factor, one[1] * factor, one[2] * factor


def _dot(one: Vector, other: Vector) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: Vector, other: Vector) -> Vector:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )
