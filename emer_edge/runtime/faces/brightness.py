"""Bringing a live crop to the brightness of the crops that the network was trained on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord

__all__ = ["grey_level", "match_brightness"]

_MOST_GAIN: Final = 4.0  # beyond it noise is all that grows


def grey_level(crop: NDArray[np.uint8]) -> float:
    """Mean over all pixels and channels of a (H, W, 3) uint8 crop, 0 to 255."""
    return float(crop.mean())


def match_brightness(crop: NDArray[np.uint8], record: FaceRecord) -> NDArray[np.uint8]:
    """Scale a crop that is darker or brighter than the training crops usually are.

    A crop within one standard deviation of the training crops' mean grey level is left as it is: differences of that
    size are what the network was trained on. Any other is scaled, all channels alike, to lie at one standard deviation.

    Args:
        crop: (112, 112, 3) uint8, B, G, R.
        record: `match_brightness`, `brightness_mean` and `brightness_std` are used.

    Returns:
        (112, 112, 3) uint8; the same array where nothing had to be done.
    """
    if not record.match_brightness or record.brightness_mean is None or record.brightness_std is None:
        return crop
    level = grey_level(crop)
    low, high = record.brightness_mean - record.brightness_std, record.brightness_mean + record.brightness_std
    wanted = min(max(level, low), high)
    if level <= 0 or wanted == level:
        return crop
    gain = min(max(wanted / level, 1 / _MOST_GAIN), _MOST_GAIN)
    table = np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8)
    matched: NDArray[np.uint8] = table[crop]
    return matched
