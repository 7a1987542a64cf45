"""Face crops as a worse camera, a darker room or something before the face would have given them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = ["AlterImage", "bar", "blur", "compression", "low_light", "square"]

Image = NDArray[np.uint8]
AlterImage = Callable[[Image], Image]
"""(112, 112, 3) uint8, B, G, R, changed: a new array."""

_GREY: Final = 128
_GAMMA: Final = 2.2
# A small sensor: electrons of a saturated pixel, noise of reading one, and how far the camera amplifies (24 dB).
_FULL_WELL: Final = 5000.0
_READ_NOISE: Final = 4.0
_MOST_GAIN: Final = 16.0


def low_light(stops: float, rng: np.random.Generator) -> AlterImage:
    """So many halvings of the light.

    Shot noise (the square root of the electrons) and read noise are added to linear light; the camera amplifies what is
    left by up to 16, so that images grow noisy first and dark afterwards. Each pixel of the crop stands for one of the
    sensor's: a crop that was shrunk has less noise than this.
    """

    def alter(image: Image) -> Image:
        electrons = (image / 255.0) ** _GAMMA * (_FULL_WELL * 0.5**stops)
        electrons += rng.standard_normal(image.shape) * np.sqrt(electrons + _READ_NOISE**2)
        light = electrons * (min(2.0**stops, _MOST_GAIN) / _FULL_WELL)
        return _rounded(255.0 * np.clip(light, 0.0, 1.0) ** (1 / _GAMMA))

    return alter


def bar(share: float, middle_px: float) -> AlterImage:
    """A grey bar across the crop around the row `middle_px`, of a share of its height; it is moved inside the crop."""
    height = round(share * FACE_SIZE_PX)
    top = int(np.clip(round(middle_px - height / 2), 0, FACE_SIZE_PX - height))

    def alter(image: Image) -> Image:
        found: Image = image.copy()
        found[top : top + height] = _GREY
        return found

    return alter


def square(share: float, rng: np.random.Generator) -> AlterImage:
    """A grey square of a share of the crop's area, at a place of its own."""
    side = round(math.sqrt(share) * FACE_SIZE_PX)
    top, left = (int(each) for each in np.round(rng.random(2) * (FACE_SIZE_PX - side)))

    def alter(image: Image) -> Image:
        found: Image = image.copy()
        found[top : top + side, left : left + side] = _GREY
        return found

    return alter


def blur(sigma_px: float) -> AlterImage:
    """Out of focus: a Gaussian of `sigma_px` crop pixels."""
    cv2 = import_cv2()

    def alter(image: Image) -> Image:
        return cast("Image", cv2.GaussianBlur(image, (0, 0), sigma_px))

    return alter


def compression(lost: float) -> AlterImage:
    """JPEG at a quality of 100 minus `lost`."""
    cv2: Any = import_cv2()

    def alter(image: Image) -> Image:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(100 - lost)])
        return cast("Image", cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    return alter


def _rounded(image: NDArray[np.float64]) -> Image:
    found: Image = np.round(image).astype(np.uint8)
    return found
