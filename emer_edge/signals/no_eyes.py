"""The row of an eye tracker that finds no eyes, and the window of a person without one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import MOVEMENT_TYPE, MovementType
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS

BLANK_ROW: Final = np.zeros(EYE_COLUMN_COUNT, np.float32)
"""(39,): EyesNotFound, all else missing."""
BLANK_ROW[MOVEMENT_TYPE] = MovementType.EYES_NOT_FOUND
BLANK_ROW.flags.writeable = False


def no_eyes(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows in which no eye is found, everywhere the same: (count, 32, 39) eye rows, (count, 32, 2) gaze points."""
    return np.tile(BLANK_ROW, (count, EYE_SLOTS, 1)), np.zeros((count, EYE_SLOTS, 2), np.float32)
