"""Seeded inputs in the ranges of a Tobii export: what parts are verified on where there are no clips."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.spec.columns import EYE_COLUMNS, GAZE_POINT, MOVEMENT_TYPE, EyeColumn
from emer_edge.spec.window import EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS

__all__ = ["seeded_windows"]

# Low and high of a column by its unit, extremes included; columns without a unit are told apart by name.
_RANGES: Final = {"DACS px": (-200.0, 2100.0), "DACS mm": (-200.0, 900.0), "MCS norm": (-0.1, 1.1), "mm": (1.5, 8.0),
                  "ms": (0.0, 12_000.0)}  # fmt: skip
_INDEX: Final = (0.0, 60_000.0)


def seeded_windows(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw whole windows.

    Returns:
        face (count, 8, 3, 112, 112) in whole grey levels / 255, eye (count, 32, 39), gaze (count, 32, 2), float32.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, FACE_SLOTS, 3, FACE_SIZE_PX // 8, FACE_SIZE_PX // 8))
    grey = np.rint(coarse.repeat(8, axis=3).repeat(8, axis=4) * 255).astype(np.float32)
    low, high = np.array([_range(each) for each in EYE_COLUMNS]).T
    eye = low + rng.random((count, EYE_SLOTS, len(EYE_COLUMNS))) * (high - low)
    eye[..., MOVEMENT_TYPE] = np.rint(eye[..., MOVEMENT_TYPE])
    eye = eye.astype(np.float32)
    return grey / np.float32(255), eye, np.ascontiguousarray(eye[..., GAZE_POINT])


def _range(column: EyeColumn) -> tuple[float, float]:
    if column.unit:
        return _RANGES[column.unit]
    if column.name.startswith("Validity"):
        return 0.0, 1.0
    if column.name == "Eye movement type":
        return 0.0, 3.0
    return _INDEX if column.name.endswith("index") else (-1.0, 1.0)
