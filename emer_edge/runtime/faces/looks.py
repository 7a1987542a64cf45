"""A face in an image: aligned, judged, and kept as what one look at a frame gave.

The thresholds of quality are set so that people at a desk in front of a display pass, as EMER shows them; what a real
video and the synthetic faces measure is beside each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.samples import Frame
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
    size are what the network was trained on. Any other is scaled, all channels alike, to one standard deviation.

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
    target = min(max(level, low), high)
    if level <= 0 or target == level:
        return crop
    gain = min(max(target / level, 1 / _MOST_GAIN), _MOST_GAIN)
    table = np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8)
    matched: NDArray[np.uint8] = table[crop]
    return matched


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

LANDMARKS: Final = 5
"""The eyes, the nose tip and the mouth corners, those on the left of the image first."""


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face.

    Attributes:
        box_px: left, top, right, bottom in the image.
        landmarks_px: (5, 2) float32 x, y: the eyes, the nose tip, the mouth corners, the image's left ones first.
        score: the detector's confidence, 0 to 1.
    """

    box_px: Box
    landmarks_px: NDArray[np.float32]
    score: float

    @property
    def size_px(self) -> float:
        """The shorter side of the box."""
        left, top, right, bottom = self.box_px
        return min(right - left, bottom - top)

    @property
    def area_px(self) -> float:
        """Area of the box, square pixels."""
        left, top, right, bottom = self.box_px
        return max(0.0, right - left) * max(0.0, bottom - top)

    @property
    def centre_px(self) -> tuple[float, float]:
        """Centre of the box."""
        left, top, right, bottom = self.box_px
        return (left + right) / 2, (top + bottom) / 2


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return width * height / (both - width * height)


def blend(faces: Sequence[Face]) -> Face:
    """Average detections of one face, weighted by their scores; the score is the best one.

    Which cell of the grid answers loudest changes with the noise, and the landmarks jump with it; an average does not.
    Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, section 3.4.
    """
    weights = np.array([face.score for face in faces], np.float64)
    weights /= weights.sum()
    left, top, right, bottom = (weights @ np.array([face.box_px for face in faces])).tolist()
    landmarks = np.einsum("n,nij->ij", weights, np.stack([face.landmarks_px for face in faces]))
    return Face((left, top, right, bottom), landmarks.astype(np.float32), max(face.score for face in faces))


def keep_best(
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    scores: NDArray[np.float32],
    most_overlap: float = 0.3,
    blended: bool = False,
) -> list[Face]:
    """Drop what overlaps a better detection (greedy non-maximum suppression).

    Args:
        boxes: (n, 4) left, top, right, bottom.
        landmarks: (n, 5, 2).
        scores: (n,).
        most_overlap: intersection over union from which two detections count as one face.
        blended: average what is dropped into what is kept instead (`blend`).

    Returns:
        Faces, the best score first.
    """
    kept: list[list[Face]] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        left, top, right, bottom = boxes[index].tolist()
        face = Face((left, top, right, bottom), landmarks[index].astype(np.float32), float(scores[index]))
        same = next((group for group in kept if overlap(face.box_px, group[0].box_px) >= most_overlap), None)
        if same is None:
            kept.append([face])
        else:
            same.append(face)
    return [blend(group) if blended else group[0] for group in kept]


LEAST_SIZE_PX: Final = 32.0
"""Shorter side of the box: smaller faces hold too few pixels for a crop of 112."""
MOST_OUTSIDE: Final = 0.15
"""Share of the crop that may be outside of the image."""
MOST_TURN: Final = 0.5
"""Of `turn`: a man who talks while he drives reaches 0.28, the synthetic faces 0.27."""
LEAST_SHARPNESS: Final = 0.01
"""Of `sharpness`: 0.047 to 0.108 in that video, 0.036 when it is shrunk until his face is 50 px wide, 0.008 to 0.018
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
    COVERED = "covered"


def outside(
    landmarks_px: NDArray[np.float32], template_px: NDArray[np.float32], height_px: int, width_px: int
) -> float:
    """Share of a face's crop, 0 to 1, outside of the image of this size."""
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
    face: Face, crop: NDArray[np.uint8], template_px: NDArray[np.float32], shape: tuple[int, ...]
) -> Missing | None:
    """Say why a face can't be used, or None when it can.

    Args:
        face: in an image.
        crop: (112, 112, 3) uint8, B, G, R, aligned.
        template_px: (5, 2) the landmarks' places in a crop.
        shape: of the image, its height and width first.
    """
    if face.size_px < LEAST_SIZE_PX:
        return Missing.SMALL
    if outside(face.landmarks_px, template_px, *shape[:2]) > MOST_OUTSIDE:
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


@dataclass(frozen=True, eq=False, slots=True)
class FaceCandidate:
    """A usable face.

    Attributes:
        stamp_ns: when its image was taken.
        crop: (112, 112, 3) uint8, B, G, R, aligned.
        detect_ns, align_ns: what finding and aligning it cost.
    """

    stamp_ns: int
    crop: NDArray[np.uint8]
    detect_ns: int
    align_ns: int


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """One look at a frame.

    Attributes:
        face: the subject's face where it was found, usable or not.
        candidate: its crop where it was usable.
        missed: why there is no candidate.
        anew: whether somebody is followed anew from this frame on, after the subject had been lost.
        detect_ns, align_ns: what finding and aligning it cost.
    """

    face: Face | None
    candidate: FaceCandidate | None
    missed: Missing | None
    anew: bool
    detect_ns: int
    align_ns: int = 0


@dataclass(frozen=True, slots=True)
class RecordedFrame(Frame):
    """A frame of a recording that holds what was seen in it: nothing is looked for again.

    Attributes:
        look: None where the frame was not looked at.
        aligned_to: `alignment_key` of the bundle that the crop was made for.
    """

    look: Look | None = None
    aligned_to: str = ""


def alignment_key(record: FaceRecord) -> str:
    """Name how a bundle aligns its crops: bundles with the same key can share crops."""
    light = (record.brightness_mean, record.brightness_std) if record.match_brightness else None
    return hashlib.sha256(json.dumps([record.template_px, light]).encode()).hexdigest()[:16]
