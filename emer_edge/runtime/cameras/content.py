"""What a picture's content says about its camera: the same image again, or nothing but black.

A sensor's noise makes every image differ from the one before, so that two identical ones are one image delivered
twice. No noise threshold is needed, and a still scene is not mistaken for a frozen camera.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLACK_LEVEL", "is_black", "is_repeat"]

BLACK_LEVEL: Final = 16
"""Levels up to this are black: a covered lens leaves a little noise, and limited-range video has its black at 16."""

_BLACK_SHARE: Final = 0.995  # hot pixels and a burnt-in clock may shine
_STEP_PX: Final = 8


def is_repeat(image: NDArray[np.uint8], previous: NDArray[np.uint8] | None) -> bool:
    """Whether two (H, W, 3) uint8 images are the same in every pixel; a sparse grid tells nearly all that are not."""
    if previous is None or image.shape != previous.shape:
        return False
    if not np.array_equal(image[::_STEP_PX, ::_STEP_PX], previous[::_STEP_PX, ::_STEP_PX]):
        return False
    return np.array_equal(image, previous)


def is_black(image: NDArray[np.uint8]) -> bool:
    """Whether 99.5 % of a sparse grid of an (H, W, 3) uint8 image is at most `BLACK_LEVEL`."""
    grid = image[::_STEP_PX, ::_STEP_PX]
    return bool(np.count_nonzero(grid > BLACK_LEVEL) <= (1.0 - _BLACK_SHARE) * grid.size)
