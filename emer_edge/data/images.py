"""Reading face crops, and the door to OpenCV.

OpenCV is an extra: JetPack brings its own build, and a wheel would hide it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError, MissingExtraError
from emer_edge.core.window import FACE_SIZE_PX


def import_cv2() -> Any:
    """Return the cv2 module.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # older builds warn of every back end that passes
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("reading and drawing images", "opencv-python", "desktop") from error
    return cv2


def fit_crop(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a (H, W, 3) uint8 crop to (112, 112, 3): area averaging when it shrinks, bilinear when it grows."""
    cv2 = import_cv2()
    size = (FACE_SIZE_PX, FACE_SIZE_PX)
    if image.shape[:2] == size:
        return image
    shrinks = min(image.shape[:2]) >= FACE_SIZE_PX
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast("NDArray[np.uint8]", cv2.resize(image, size, interpolation=how))


def read_crop(path: Path) -> NDArray[np.uint8]:
    """Read a face crop of any size.

    Returns:
        (112, 112, 3) uint8, B, G, R.

    Raises:
        DataError: the file can't be opened or holds no image.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"can't open the frame {path}: {error.strerror or error}") from error
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{path} is not an image that OpenCV can read; copy it again from its source")
    return fit_crop(image)
