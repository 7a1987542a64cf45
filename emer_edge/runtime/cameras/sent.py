"""Images as live cameras have sent them, and what makes pixels of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.core.samples import Sent
from emer_edge.data.images import import_cv2

BLACK_LEVEL: Final = 16
"""Levels up to this are black: a covered lens leaves a little noise, and limited-range video has its black at 16."""

_BLACK_SHARE: Final = 0.995  # hot pixels and a burnt-in clock may shine
_STEP_PX: Final = 8


def is_black(image: NDArray[np.uint8]) -> bool:
    """Whether 99.5 % of a sparse grid of an (H, W, 3) uint8 image is at most `BLACK_LEVEL`."""
    grid = image[::_STEP_PX, ::_STEP_PX]
    return bool(np.count_nonzero(grid > BLACK_LEVEL) <= (1.0 - _BLACK_SHARE) * grid.size)


@cache
def jpeg_decoder() -> Callable[[bytes], NDArray[np.uint8]] | None:
    """libjpeg-turbo's own decoder, None where simplejpeg is not installed, which is logged once."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        logging.getLogger("emer_edge").warning(
            "the camera's JPEGs are decoded by OpenCV, in twice the time of simplejpeg (pip install simplejpeg)"
        )
        return None
    return lambda data: cast("NDArray[np.uint8]", decode_jpeg(data, "BGR", strict=False))


def decoded(data: bytes) -> NDArray[np.uint8]:
    """The image of a JPEG, (H, W, 3) uint8, B, G, R; the same pixels whichever decodes. CameraError: it is damaged."""
    fast = jpeg_decoder()
    if fast is not None:
        try:
            return fast(data)
        except ValueError:  # a rare kind, such as one for printers, or damaged
            pass
    cv2: Any = import_cv2()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise CameraError("the camera has sent a JPEG that can't be decoded")
    bgr: NDArray[np.uint8] = image
    return bgr


class SentImage(Sent):
    """An image from a capture process.

    Args:
        data: its bytes, as sent.
        coding: what they are (`emer_edge.runtime.capture.records.CODINGS`).
        height, width: of the image.
        seen: called with the image when it is converted, by the thread that looks at it first.
    """

    def __init__(
        self, data: bytes, coding: str, height: int, width: int, *, seen: Callable[[NDArray[np.uint8]], None]
    ) -> None:
        self.shape = (height, width, 3)
        self.jpeg = data if coding == "jpeg" else None
        self._data, self._seen = data, seen
        self._image: NDArray[np.uint8] | None = None
        self._turn = threading.Lock()

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, B, G, R, the reader's own."""
        with self._turn:
            if self._image is None:
                self._image = self._converted()
                self._seen(self._image)
            return self._image

    def equals(self, other: SentImage | None) -> bool:
        """Whether both were sent as the same bytes."""
        return other is not None and self._data == other._data

    def _converted(self) -> NDArray[np.uint8]:
        if self.jpeg is None:
            return np.array(np.frombuffer(self._data, np.uint8).reshape(self.shape))
        image = decoded(self.jpeg)
        if image.shape != self.shape:
            raise CameraError(f"the camera has sent a JPEG of {image.shape} whose head says {self.shape}")
        return image
