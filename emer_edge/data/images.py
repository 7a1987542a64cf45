"""Face crops, and the import of OpenCV, an extra: JetPack has its own build, and a wheel would hide it."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # older builds warn of every back end that they try
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
    method = cv2.INTER_AREA if min(image.shape[:2]) >= FACE_SIZE_PX else cv2.INTER_LINEAR
    return cast("NDArray[np.uint8]", cv2.resize(image, size, interpolation=method))


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


def stack_faces(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Turn (112, 112, 3) uint8 B, G, R crops into (n, 3, 112, 112) float32 in [0, 1]."""
    crops = [image.transpose(2, 0, 1) for image in images]
    if not crops:
        return np.zeros((0, 3, FACE_SIZE_PX, FACE_SIZE_PX), np.float32)
    faces: NDArray[np.float32] = np.stack(crops).astype(np.float32)
    faces /= np.float32(255.0)
    return faces
