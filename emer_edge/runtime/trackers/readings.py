"""One eye of a tracker's packet as an EyeReading.

A tracker's own validity is not enough: recordings of real trackers hold gaze a display's width off the display and
13.5 mm pupils, all marked valid. A number that no eye can have is missing here, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from emer_edge.runtime.trackers.base import Counters
from emer_edge.spec.samples import MISSING_2, MISSING_3, Display, EyeReading

__all__ = ["DISTANCE_LIMIT_MM", "GAZE_FRACTION_RANGE", "PUPIL_RANGE_MM", "reading"]

GAZE_FRACTION_RANGE: Final = (-1.0, 2.0)
PUPIL_RANGE_MM: Final = (1.0, 10.0)
DISTANCE_LIMIT_MM: Final = 3000.0


def reading(
    gaze: Sequence[float],
    position_mm: Sequence[float],
    direction: Sequence[float],
    pupil_mm: float,
    valid: bool | None,
    display: Display,
    counters: Counters,
) -> EyeReading:
    """Build a reading from what a tracker sends.

    Args:
        gaze: x, y as fractions of the display, origin top left; empty or not finite where missing, as all of these.
        position_mm: x, y, z of the eye, DACS mm.
        direction: x, y, z of the gaze direction; all zeros means missing, other lengths are brought to 1.
        pupil_mm: pupil diameter; 0 means missing.
        valid: the tracker's own word; None where it has none: then an eye with gaze is valid.
        display: turns fractions into pixels.
        counters: `out_of_range` goes up by one for each implausible item.
    """
    low, high = GAZE_FRACTION_RANGE
    gaze_px: tuple[float, float] = MISSING_2
    if _given(gaze):
        x, y = gaze
        if low <= x <= high and low <= y <= high:
            gaze_px = (x * display.width_px, y * display.height_px)
        else:
            counters.out_of_range += 1
    position: tuple[float, float, float] = MISSING_3
    if _given(position_mm):
        if max(map(abs, position_mm)) <= DISTANCE_LIMIT_MM:
            position = (position_mm[0], position_mm[1], position_mm[2])
        else:
            counters.out_of_range += 1
    unit: tuple[float, float, float] = MISSING_3
    if _given(direction) and any(direction):
        length = math.hypot(*direction)
        if 0.5 <= length <= 2.0:
            unit = (direction[0] / length, direction[1] / length, direction[2] / length)
        else:
            counters.out_of_range += 1
    pupil = math.nan
    if math.isfinite(pupil_mm) and pupil_mm:
        if PUPIL_RANGE_MM[0] <= pupil_mm <= PUPIL_RANGE_MM[1]:
            pupil = pupil_mm
        else:
            counters.out_of_range += 1
    seen = not math.isnan(gaze_px[0])
    return EyeReading(
        gaze_px=gaze_px,
        direction=unit,
        position_mm=position,
        pupil_mm=pupil,
        valid=seen if valid is None else bool(valid) and seen,
    )


def _given(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(map(math.isfinite, numbers))
