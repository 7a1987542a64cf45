"""Images as JPEG and PNG, encoded by the thread that needs them: OpenCV holds no lock of Python's meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EmerEdgeError
from emer_edge.data.images import import_cv2


@dataclass(frozen=True, slots=True)
class Coding:
    """How an image is encoded.

    Attributes:
        lossless: PNG, else JPEG.
        level: compression of a PNG (0 to 9), quality of a JPEG (0 to 100).
        widest_px: wider images are shrunk to this first; 0: never.
    """

    lossless: bool
    level: int
    widest_px: int = 0


LOOK: Final = Coding(lossless=False, level=90)
"""A recorded image, to look at."""

WHOLE: Final = Coding(lossless=True, level=1)
"""A recorded image from which everything can be computed again."""

CROP: Final = Coding(lossless=True, level=1)
"""An aligned crop of a recording."""

PAGE: Final = Coding(lossless=False, level=75, widest_px=640)
"""An image on the page."""


def encoded(image: NDArray[np.uint8], coding: Coding) -> bytes:
    """Encode an image in this process; raise EmerEdgeError where OpenCV can't."""
    cv2: Any = import_cv2()
    height, width = image.shape[:2]
    if coding.widest_px and width > coding.widest_px:
        size = (coding.widest_px, max(1, round(height * coding.widest_px / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ending, option = (".png", cv2.IMWRITE_PNG_COMPRESSION) if coding.lossless else (".jpg", cv2.IMWRITE_JPEG_QUALITY)
    try:
        done, data = cv2.imencode(ending, image, [option, coding.level])
    except cv2.error as error:
        raise EmerEdgeError(f"an image of {width}x{height} can't be encoded as {ending[1:]}: {error.err}") from error
    if not done:
        raise EmerEdgeError(f"an image of {width}x{height} can't be encoded as {ending[1:]}")
    return bytes(data)
