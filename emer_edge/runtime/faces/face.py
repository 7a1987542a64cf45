"""A face in an image, and how boxes compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LANDMARKS", "Box", "Face", "blend", "keep_best", "overlap"]

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
    weights = np.array([each.score for each in faces], np.float64)
    weights /= weights.sum()
    left, top, right, bottom = (weights @ np.array([each.box_px for each in faces])).tolist()
    landmarks = np.einsum("n,nij->ij", weights, np.stack([each.landmarks_px for each in faces]))
    return Face((left, top, right, bottom), landmarks.astype(np.float32), max(each.score for each in faces))


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
        same = next((each for each in kept if overlap(face.box_px, each[0].box_px) >= most_overlap), None)
        if same is None:
            kept.append([face])
        else:
            same.append(face)
    return [blend(each) if blended else each[0] for each in kept]
