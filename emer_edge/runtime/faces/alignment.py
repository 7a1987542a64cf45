"""Turning a found face into the crop that the network was trained on: landmarks in their places, light matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2

ARCFACE_TEMPLATE: Final = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Landmarks in a 112 x 112 crop as the face recognition community aligns them (InsightFace, `arcface_src`)."""

_SMALLEST_SCALE: Final = 1e-3
_MARGIN_BLOCKS: Final = 2  # bilinear drawing reads one beyond


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rotation, scale and shift that bring points nearest to others.

    Least squares after Umeyama (1991); in the plane it is one division of complex numbers, and never a reflection.

    Args:
        source: (n, 2) x, y.
        target: (n, 2) where they should fall.

    Returns:
        (2, 3) float64 matrix for column vectors (x, y, 1). All points in one place give a pure shift.
    """
    z = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    w = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    z_mean, w_mean = z.mean(), w.mean()
    spread = float((np.abs(z - z_mean) ** 2).sum())
    turn = complex((np.conj(z - z_mean) * (w - w_mean)).sum() / spread) if spread > 0 else 1.0 + 0j
    shift = complex(w_mean - turn * z_mean)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(
    image: NDArray[np.uint8],
    landmarks_px: NDArray[np.float32],
    template_px: Sequence[tuple[float, float]] | NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Cut out a face so that its landmarks fall on the template's.

    Args:
        image: (H, W, 3) uint8, B, G, R.
        landmarks_px: (5, 2) in the image.
        template_px: (5, 2) in the crop, from the manifest.

    Returns:
        (112, 112, 3) uint8, B, G, R; black where the crop leaves the image.
    """
    return warp(image, similarity(np.asarray(landmarks_px, np.float32), np.asarray(template_px, np.float32)))


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size_px: int = FACE_SIZE_PX) -> NDArray[np.uint8]:
    """Draw an image through a similarity, averaging areas where it shrinks: a bilinear warp alone would alias.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3) from pixels of the image to pixels of the result, as `similarity` gives it.
        size_px: side of the result.

    Returns:
        (size_px, size_px, 3) uint8, black where it leaves the image.
    """
    cv2 = import_cv2()
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    shrink = int(1.0 / max(scale, _SMALLEST_SCALE))
    if shrink >= 2:
        left, top, right, bottom = _region(matrix, size_px, shrink, *image.shape[:2])
        width, height = (right - left) // shrink, (bottom - top) // shrink
        if height and width:
            image = cv2.resize(image[top:bottom, left:right], (width, height), interpolation=cv2.INTER_AREA)
            first = np.array([left, top]) + (shrink - 1) / 2  # centre of the first block of pixels
            matrix = np.column_stack([matrix[:, :2] * shrink, matrix[:, :2] @ first + matrix[:, 2]])
    drawn: NDArray[np.uint8] = cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return drawn


def _region(
    matrix: NDArray[np.float64], size_px: int, shrink: int, height: int, width: int
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the whole blocks of `shrink` pixels that the result may read.

    Nearly all of an image is not read, and averaging it is what a crop would cost most.
    """
    edges = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64)
    corners = (edges - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T / shrink
    blocks = np.array([width // shrink, height // shrink])
    low = np.clip(np.floor(corners.min(axis=0)) - _MARGIN_BLOCKS, 0, blocks).astype(int) * shrink
    high = np.clip(np.ceil(corners.max(axis=0)) + _MARGIN_BLOCKS, 0, blocks).astype(int) * shrink
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


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
