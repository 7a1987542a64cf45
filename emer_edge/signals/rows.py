"""A tracker's sample as a row of EMER's 39 columns.

Columns 33 to 39 describe eye movements, which need history: `emer_edge.signals.events` fills them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import COLUMN_KEYS, DIRECTION, EVENTS, GAZE_MM, GAZE_PX, POSITION, PUPILS, column_indices
from emer_edge.core.samples import MISSING_2, Display, EyeReading, StimulusRect, TrackerSample

_BLANK_EYE = EyeReading()
_NO_EVENT: Final = (math.nan,) * len(column_indices(EVENTS))


def raw_row(sample: TrackerSample, display: Display, stimulus: StimulusRect) -> NDArray[np.float64]:
    """Lay a sample out in columns 1 to 32, missing cells as NaN.

    Gaze in pixels and in millimetres are derived from each other by the display's size, the direction from the gaze
    point and the eye's position, the gaze point from these two where it is missing; the combined gaze point is the mean
    of the valid eyes. An eye that the tracker does not vouch for is blank, as in a Tobii export.

    Returns:
        (39,) float64; columns 33 to 39 are NaN.
    """
    left, right = (_completed(each, display) if each.valid else _BLANK_EYE for each in (sample.left, sample.right))
    points = [each.gaze_px for each in (left, right) if not math.isnan(each.gaze_px[0])]
    combined = MISSING_2
    if points:
        combined = (sum(each[0] for each in points) / len(points), sum(each[1] for each in points) / len(points))
    cells = (
        *combined,
        *left.gaze_px,
        *right.gaze_px,
        *left.direction,
        *right.direction,
        left.pupil_mm,
        right.pupil_mm,
        float(left.valid),
        float(right.valid),
        *left.position_mm,
        *right.position_mm,
        *left.gaze_mm,
        *right.gaze_mm,
        *_mcs(combined, stimulus),
        *_mcs(left.gaze_px, stimulus),
        *_mcs(right.gaze_px, stimulus),
        *_NO_EVENT,
    )
    return np.array(cells, np.float64)


def eye_reading(row: Sequence[float], eye: int, valid: bool) -> EyeReading:
    """The eye (0 left, 1 right) that the 39 cells of a row describe; `raw_row` the other way round."""
    gaze_px, gaze_mm, direction, position = (row[pair[eye]] for pair in (GAZE_PX, GAZE_MM, DIRECTION, POSITION))
    return EyeReading(
        (gaze_px[0], gaze_px[1]),
        (gaze_mm[0], gaze_mm[1]),
        (direction[0], direction[1], direction[2]),
        (position[0], position[1], position[2]),
        pupil_mm=row[PUPILS][eye],
        valid=valid,
    )


def network_row(cells: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn cells from `raw_row` into (39,) float32 as the network reads them: missing ones are 0."""
    return np.where(np.isfinite(cells), cells, 0.0).astype(np.float32)


def unfilled_columns(rows: NDArray[np.float64]) -> tuple[str, ...]:
    """Name the columns that no row fills.

    Args:
        rows: (n, 39) from `raw_row`, NaN where missing. Columns 33 to 39 are never named: they are computed.
    """
    empty: NDArray[np.bool_] = np.all(np.isnan(rows), axis=0)
    empty[EVENTS] = False
    return tuple(key for key, missing in zip(COLUMN_KEYS, empty, strict=True) if missing)


def column_words(keys: Sequence[str]) -> str:
    """Name columns for a sentence, by what they are about: `gaze direction, pupil diameter and eye position right`.

    Args:
        keys: of columns; axes and units are left out, and the eye, where both are named.
    """
    eyes: dict[str, set[str]] = {}
    for key in keys:
        words = key.partition(" [")[0].split()
        eye = {each for each in words if each in ("left", "right")}
        about = " ".join(each for each in words if each not in ("left", "right", "X", "Y", "Z"))
        eyes.setdefault(about[:1].lower() + about[1:], set()).update(eye)
    named = [f"{about} {min(eye)}" if len(eye) == 1 else about for about, eye in eyes.items()]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))


def _completed(eye: EyeReading, display: Display) -> EyeReading:
    gaze_px, gaze_mm, direction = eye.gaze_px, eye.gaze_mm, eye.direction
    if not any(math.isnan(each[0]) for each in (gaze_px, gaze_mm, direction)):
        return eye
    scale_x, scale_y = display.width_mm / display.width_px, display.height_mm / display.height_px
    if math.isnan(gaze_px[0]) and math.isnan(gaze_mm[0]):
        gaze_mm = _met_display(eye)
    if math.isnan(gaze_px[0]) and not math.isnan(gaze_mm[0]):
        gaze_px = (gaze_mm[0] / scale_x, gaze_mm[1] / scale_y)
    elif math.isnan(gaze_mm[0]) and not math.isnan(gaze_px[0]):
        gaze_mm = (gaze_px[0] * scale_x, gaze_px[1] * scale_y)
    if math.isnan(direction[0]) and not math.isnan(gaze_mm[0]) and not math.isnan(eye.position_mm[0]):
        x, y, z = eye.position_mm
        ray = (gaze_mm[0] - x, gaze_mm[1] - y, -z)
        length = math.hypot(*ray)
        if length > 0:
            direction = (ray[0] / length, ray[1] / length, ray[2] / length)
    return EyeReading(gaze_px, gaze_mm, direction, eye.position_mm, pupil_mm=eye.pupil_mm, valid=eye.valid)


def _met_display(eye: EyeReading) -> tuple[float, float]:
    """Where the gaze direction meets the display, the plane z = 0; missing where it does not."""
    (x, y, z), (ray_x, ray_y, ray_z) = eye.position_mm, eye.direction
    if not z * ray_z < 0:  # looks away, along the display, or is not known
        return MISSING_2
    along = -z / ray_z
    return (x + along * ray_x, y + along * ray_y)


def _mcs(point_px: tuple[float, float], stimulus: StimulusRect) -> tuple[float, float]:
    return ((point_px[0] - stimulus.left_px) / stimulus.width_px, (point_px[1] - stimulus.top_px) / stimulus.height_px)
