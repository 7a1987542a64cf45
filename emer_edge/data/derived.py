"""Columns 23 to 32 where an export lacks them and they follow from others.

A gaze point in DACS mm is where the ray from the eye's position along its direction meets the display, z = 0. Points in
MCS are points in display pixels, moved and scaled to the stimulus: by what the points that are there show, or, without
any, by the recording's resolution, for a stimulus that fills the display.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import (
    COLUMN_KEYS,
    DIRECTION,
    GAZE_MCS,
    GAZE_MM,
    GAZE_POINT,
    GAZE_POINT_MCS,
    GAZE_PX,
    POSITION,
    column_indices,
    column_words,
)
from emer_edge.core.errors import DataError

DERIVABLE: Final = frozenset(column_indices(*GAZE_MM, GAZE_POINT_MCS, *GAZE_MCS))
_MCS_OF_PX: Final = dict(
    zip(column_indices(GAZE_POINT_MCS, *GAZE_MCS), column_indices(GAZE_POINT, *GAZE_PX), strict=True)
)
_RESOLUTION: Final = tuple(re.compile(rf"recording resolution {side}\b", re.IGNORECASE) for side in ("width", "height"))
_FOLLOWS: Final = 0.01  # of a stimulus' size, by which derived points may miss those that are there


def resolution_columns(header: Sequence[str]) -> list[int]:
    """Positions of the recording's width and height in pixels; empty without both."""
    found = [next((at for at, name in enumerate(header) if side.match(name)), -1) for side in _RESOLUTION]
    return [] if -1 in found else found


def can_derive(lacking: set[int], header: Sequence[str]) -> bool:
    """Whether the columns (0 to 38) that a header lacks follow from its others."""
    axes = {column % 2 for column in set(_MCS_OF_PX) - lacking}
    return lacking <= DERIVABLE and (
        not lacking & set(_MCS_OF_PX) or len(axes) == 2 or bool(resolution_columns(header))
    )


def derive(values: NDArray[np.float64], lacking: set[int], size_px: Sequence[float]) -> None:
    """Fill the lacking columns of (n, 39) values in place; NaN where what they follow from is missing.

    Raises:
        DataError: the points that are there do not follow from pixels.
    """
    for mm, position, direction in zip(GAZE_MM, POSITION, DIRECTION, strict=True):
        if lacking & set(column_indices(mm)):
            eye, ray = values[:, position], values[:, direction]
            with np.errstate(divide="ignore", invalid="ignore"):
                met = eye[:, :2] - eye[:, 2:] / ray[:, 2:] * ray[:, :2]
            values[:, mm] = np.where(np.isfinite(met), met, np.nan)
    for axis in (0, 1):
        mcs = [column for column in _MCS_OF_PX if column % 2 == axis]
        there = [column for column in mcs if column not in lacking]
        scale, shift = 1.0 / size_px[axis] if size_px else np.nan, 0.0
        if len(there) < len(mcs) and there:
            x, y = (
                np.concatenate([values[:, column] for column in columns])
                for columns in ([_MCS_OF_PX[each] for each in there], there)
            )
            both = np.isfinite(x) & np.isfinite(y) & (x != 0)
            if np.ptp(x[both]) > 1 if both.any() else False:
                scale, shift = np.polyfit(x[both], y[both], 1)
                if np.abs(scale * x[both] + shift - y[both]).max() > _FOLLOWS:
                    raise DataError(
                        f"its {column_words([COLUMN_KEYS[each] for each in there])} in MCS do not follow from pixels"
                    )
        for column in set(mcs) & lacking:
            values[:, column] = scale * values[:, _MCS_OF_PX[column]] + shift
