"""Face crops, and the import of OpenCV, an extra: JetPack has its own build, and a wheel would hide it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError, MissingExtraError
from emer_edge.core.window import FACE_SIZE_PX

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SCAN: Final = b"\xda"
_ORIENTATION_TAG: Final = 0x0112
_FULL_16_BITS: Final = 1 << 14  # a brightest value below it is that of 8, 10, 12 or 14 bits
_OPAQUE: Final = 255
_MOST_PIXELS: Final = 1 << 26  # OpenCV refuses larger images by their header, before it takes memory for them


def import_cv2() -> Any:
    """Return the cv2 module, which works in the calling thread alone.

    Waking threads of its own for pictures of this size costs more than they save.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # older builds warn of every back end that they try
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(_MOST_PIXELS))
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("reading and drawing images", "opencv-python", "desktop") from error
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
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
    """Read a face crop of any size, by the rules of `decode`.

    Returns:
        (112, 112, 3) uint8, B, G, R.

    Raises:
        DataError: the file can't be opened, or is no image that can be used as it is.
        MissingExtraError: OpenCV is not installed.
    """
    return fit_crop(decode(path)[0])


def decode(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read an image as it was meant to be seen, or refuse it.

    Grey becomes colour, full 16 bits become 8, an opaque alpha channel is left out, and an image is turned as its EXIF
    orientation (JPEG, PNG; Exif 2.32, tag 0x0112) says.

    Returns:
        (H, W, 3) uint8, B, G, R, and what had to be done to it, in words that are the same for all images.

    Raises:
        DataError: the file can't be opened, is cut short or no image, has over 67 million pixels, holds fewer bits
            than its format says, or parts of it are transparent.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    try:
        content = path.read_bytes()
    except OSError as error:
        what = "it is a link to nothing" if path.is_symlink() and not path.exists() else error.strerror or error
        raise DataError(f"can't open the frame {path}: {what}") from error
    try:
        whole = bool(content) and not _cut_short(content)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
    except cv2.error as error:
        image = None
        if "MAX_IMAGE" in str(error):
            raise DataError(f"{path} has more than {_MOST_PIXELS:,} pixels, so it was not decoded") from None
    if image is None:
        short = "" if whole else f": it is cut short, at {len(content)} bytes"
        raise DataError(f"{path} is not an image that OpenCV can read{short}; copy it again from its source")
    notes = []
    if image.dtype == np.uint16:
        if 0 < image.max() < _FULL_16_BITS:
            raise DataError(
                f"{path} has 16 bits and values up to {image.max()}: was it made from {_bits(int(image.max()))} bits? "
                "It would be black; save it with 8 bits"
            )
        image = (image >> 8).astype(np.uint8)
        notes.append("16 bits, read as 8")
    if image.dtype != np.uint8:
        raise DataError(f"{path} holds numbers of type {image.dtype}; save it with 8 bits")
    image = image[:, :, None] if image.ndim == 2 else image
    if image.shape[2] in (2, 4):
        alpha = image[:, :, -1]
        if alpha.min() < _OPAQUE and alpha.any():  # all 0 is the unused byte of a bitmap
            raise DataError(f"{path} is transparent in parts; put it on a background and save it without alpha")
        image = image[:, :, :-1]
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
        notes.append("grey")
    turn = _orientation(content)
    if turn > 1:
        image = image.transpose(1, 0, 2) if turn > 4 else image
        image = image[:: -1 if turn in (3, 4, 7, 8) else 1, :: -1 if turn in (2, 3, 6, 7) else 1]
        notes.append("turned as the EXIF orientation says")
    if image.max() == image.min():
        notes.append("black or of one colour")
    return np.ascontiguousarray(image), tuple(notes)


def _bits(largest: int) -> int:
    return next(bits for bits in (8, 10, 12, 14) if largest < 1 << bits)


def _cut_short(content: bytes) -> bool:
    """Whether a JPEG lacks its end after its last scan, or a PNG its last chunk; bytes behind them are let be."""
    if content.startswith(_JPEG):
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(_PNG) and content.rfind(b"IEND") < 0


def _orientation(content: bytes) -> int:
    """The EXIF orientation of a JPEG or PNG, 1 to 8; 1 where there is none, or none that is valid."""
    tiff = b""
    if content.startswith(_JPEG):
        at = 2
        while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != _SCAN and not tiff:
            size = int.from_bytes(content[at + 2 : at + 4], "big")
            tiff = content[at + 10 : at + 2 + size] if content[at + 4 : at + 10] == b"Exif\0\0" else b""
            at += 2 + size
    elif content.startswith(_PNG) and (at := content.find(b"eXIf")) > 0:
        tiff = content[at + 4 : at + 4 + int.from_bytes(content[at - 4 : at], "big")]
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    first = number(4, 4) + 2
    for at in range(first, min(first + 12 * number(first - 2, 2), len(tiff)), 12):
        if number(at, 2) == _ORIENTATION_TAG and 1 <= number(at + 8, 2) <= 8:
            return number(at + 8, 2)
    return 1


def stack_faces(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Turn (112, 112, 3) uint8 B, G, R crops into (n, 3, 112, 112) float32 in [0, 1]."""
    crops = [image.transpose(2, 0, 1) for image in images]
    if not crops:
        return np.zeros((0, 3, FACE_SIZE_PX, FACE_SIZE_PX), np.float32)
    faces: NDArray[np.float32] = np.stack(crops).astype(np.float32)
    faces /= np.float32(255.0)
    return faces
