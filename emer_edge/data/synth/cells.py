"""Lay gaze, eyes and pupils out as the 39 columns of a Tobii Pro Lab export, rounded as exports are."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.spec.columns import EVENTS, MovementType
from emer_edge.spec.samples import Display
from emer_edge.spec.window import EYE_COLUMN_COUNT

__all__ = ["lay_out"]

Floats = NDArray[np.float64]

_DECIMALS: Final = (0,) * 6 + (5,) * 6 + (3,) * 2 + (0,) * 2 + (2,) * 6 + (2,) * 4 + (4,) * 6 + (0,) * 5 + (4,) * 2


def lay_out(
    gaze_px: Floats,
    position_mm: Floats,
    pupil_mm: Floats,
    movement: NDArray[np.int64],
    lost: NDArray[np.bool_],
    display: Display,
    rate_hz: float,
) -> Floats:
    """Fill the 39 columns.

    Args:
        gaze_px: (n, 2, 2) gaze point of the left and the right eye on the display.
        position_mm: (n, 2, 3) eyes, DACS.
        pupil_mm: (n, 2).
        movement: (n,) `MovementType`, fixation or saccade.
        lost: (n, 2) where an eye is not seen.
        display: the display; the stimulus fills it.
        rate_hz: samples a second.

    Returns:
        (n, 39) float64, NaN where an export's cell is blank. Columns 33 to 39 look ahead as exports do: whole
        durations, whole centroids, an index for each type counted from the recording's start.
    """
    count = len(gaze_px)
    size_px = np.array([display.width_px, display.height_px])
    size_mm = np.array([display.width_mm, display.height_mm])
    gaze_mm = gaze_px / size_px * size_mm
    ray = np.concatenate([gaze_mm, np.zeros((count, 2, 1))], axis=2) - position_mm
    direction = ray / np.linalg.norm(ray, axis=2, keepdims=True)
    parts = [gaze_px, direction, pupil_mm[..., None], position_mm, gaze_mm]
    gaze, direction, pupil, position, gaze_mm = (np.where(lost[..., None], np.nan, each) for each in parts)
    seen = ~lost.all(axis=1)
    combined = np.full((count, 2), np.nan)
    combined[seen] = np.nanmean(gaze[seen], axis=1)
    cells = np.empty((count, EYE_COLUMN_COUNT))
    cells[:, 0:2] = combined
    cells[:, 2:6] = gaze.reshape(count, 4)
    cells[:, 6:12] = direction.reshape(count, 6)
    cells[:, 12:14] = pupil.reshape(count, 2)
    cells[:, 14:16] = ~lost
    cells[:, 16:22] = position.reshape(count, 6)
    cells[:, 22:26] = gaze_mm.reshape(count, 4)
    cells[:, 26:28] = combined / size_px
    cells[:, 28:32] = (gaze / size_px).reshape(count, 4)
    cells[:, EVENTS] = _events(np.where(seen, movement, int(MovementType.EYES_NOT_FOUND)), combined, size_px, rate_hz)
    for decimals in set(_DECIMALS):
        columns = [column for column, each in enumerate(_DECIMALS) if each == decimals]
        cells[:, columns] = np.round(cells[:, columns], decimals) + 0.0  # + 0.0: no negative zero
    return cells


def _events(kind: NDArray[np.int64], combined: Floats, size_px: NDArray[np.int64], rate_hz: float) -> Floats:
    """Columns 33 to 39: an event is a run of samples of one type."""
    starts = np.flatnonzero(np.append(True, kind[1:] != kind[:-1]))
    lengths = np.diff(np.append(starts, len(kind)))
    event = np.repeat(np.arange(len(starts)), lengths)
    index = np.zeros(len(starts), np.int64)
    for each in MovementType:
        of_type = kind[starts] == each
        index[of_type] = np.arange(1, of_type.sum() + 1)
    with np.errstate(invalid="ignore"):
        centre = np.add.reduceat(combined, starts, axis=0) / lengths[:, None]
    centre[kind[starts] != MovementType.FIXATION] = np.nan
    columns = np.empty((len(kind), 7))
    columns[:, 0] = kind
    columns[:, 1] = (lengths * (1000.0 / rate_hz))[event]
    columns[:, 2] = index[event]
    columns[:, 3:5] = centre[event]
    columns[:, 5:7] = (centre / size_px)[event]
    return columns
