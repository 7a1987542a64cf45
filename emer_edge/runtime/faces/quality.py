"""Whether a found face is good enough to be read, and if not, why.

The thresholds are set so that people at a desk in front of a display pass, as EMER shows them; what a real video and
the synthetic faces measure is beside each.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.runtime.faces.align import similarity
from emer_edge.runtime.faces.face import Face
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = [
    "LEAST_SHARPNESS",
    "LEAST_SIZE_PX",
    "MOST_OUTSIDE",
    "MOST_TURN",
    "Missing",
    "outside",
    "sharpness",
    "turn",
    "why_unusable",
]

LEAST_SIZE_PX: Final = 32.0
"""Shorter side of the box: smaller faces hold too few pixels for a crop of 112."""
MOST_OUTSIDE: Final = 0.15
"""Share of the crop that may lie outside of the image."""
MOST_TURN: Final = 0.5
"""See `turn`: a man who talks while he drives reaches 0.28, the synthetic faces 0.27."""
LEAST_SHARPNESS: Final = 0.01
"""See `sharpness`: 0.047 to 0.108 in that video, 0.036 when it is shrunk until his face is 50 px wide, 0.008 to 0.018
when it is blurred by 2 px of the crop (Gaussian); 0.16 to 0.25 in synthetic scenes, below 0.009 when by 3.3 px."""

_GRID: Final = np.stack(np.meshgrid(*[(np.arange(16) + 0.5) * FACE_SIZE_PX / 16 - 0.5] * 2), axis=-1).reshape(-1, 2)


class Missing(str, Enum):
    """Why a look gave no face to encode."""

    NONE = "no face"
    OTHER = "another face"
    SMALL = "too small"
    CUT = "cut by the border"
    TURNED = "turned away"
    BLURRED = "blurred"


def outside(
    landmarks_px: NDArray[np.float32], template_px: NDArray[np.float32], height_px: int, width_px: int
) -> float:
    """Share of a face's crop, 0 to 1, that lies outside of the image of this size."""
    matrix = similarity(landmarks_px, template_px)
    x, y = ((_GRID - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).T
    within = (x > -0.5) & (x < width_px - 0.5) & (y > -0.5) & (y < height_px - 0.5)
    return float(1 - within.mean())


def turn(landmarks_px: NDArray[np.float32], template_px: NDArray[np.float32]) -> float:
    """How far the landmarks are from those of a face that looks at the camera.

    The nose tip against the eyes and the mouth: along the line between the eyes, and between the eyes' and the mouth's
    middle, each as a share of that length; and the ratio of both lengths as a logarithm. Each is compared with the
    template's; the largest difference counts. 0 is the template, a profile is above 0.5.
    """
    return float(np.abs(_geometry(landmarks_px) - _geometry(template_px)).max())


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of an aligned crop's grey levels as a share of their own variance.

    The crop has the same size whatever the face's size in the image, and the share does not know its contrast. Source:
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", 2000.
    """
    cv2 = import_cv2()
    margin = FACE_SIZE_PX // 8  # hair and background do not count
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[margin:-margin, margin:-margin]
    spread = float(grey.var())
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / spread if spread > 1.0 else 0.0


def why_unusable(
    face: Face, crop: NDArray[np.uint8], template_px: NDArray[np.float32], height_px: int, width_px: int
) -> Missing | None:
    """Say why a face can't be used, or None when it can.

    Args:
        face: in an image of `width_px` x `height_px`.
        crop: (112, 112, 3) uint8, B, G, R, aligned.
        template_px: (5, 2) the landmarks' places in a crop.
        height_px: of the image.
        width_px: of the image.
    """
    if face.size_px < LEAST_SIZE_PX:
        return Missing.SMALL
    if outside(face.landmarks_px, template_px, height_px, width_px) > MOST_OUTSIDE:
        return Missing.CUT
    if turn(face.landmarks_px, template_px) > MOST_TURN:
        return Missing.TURNED
    return Missing.BLURRED if sharpness(crop) < LEAST_SHARPNESS else None


def _geometry(landmarks_px: NDArray[np.float32]) -> NDArray[np.float64]:
    left, right, nose, *mouth = np.asarray(landmarks_px, np.float64)
    eyes, lips = (left + right) / 2, (mouth[0] + mouth[1]) / 2
    across, down = right - left, lips - eyes
    wide, long = max(float(np.hypot(*across)), 1e-6), max(float(np.hypot(*down)), 1e-6)
    return np.array([(nose - eyes) @ across / wide**2, (nose - eyes) @ down / long**2, np.log(wide / long)])
