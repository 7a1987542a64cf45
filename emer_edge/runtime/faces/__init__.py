"""From a camera image to the subject's aligned crop."""

from __future__ import annotations

from emer_edge.runtime.faces.detector import DETECTORS, FaceDetector, open_detector
from emer_edge.runtime.faces.finder import FaceSource
from emer_edge.runtime.faces.follower import SubjectFollower
from emer_edge.runtime.faces.looks import (
    ARCFACE_TEMPLATE,
    Face,
    FaceCandidate,
    Look,
    Missing,
    RecordedFrame,
    align,
    alignment_key,
    grey_level,
    match_brightness,
    similarity,
)

__all__ = [
    "ARCFACE_TEMPLATE",
    "DETECTORS",
    "Face",
    "FaceCandidate",
    "FaceDetector",
    "FaceSource",
    "Look",
    "Missing",
    "RecordedFrame",
    "SubjectFollower",
    "align",
    "alignment_key",
    "grey_level",
    "match_brightness",
    "open_detector",
    "similarity",
]
