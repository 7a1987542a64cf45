"""From a camera image to the subject's aligned crop."""

from __future__ import annotations

from emer_edge.runtime.faces.alignment import ARCFACE_TEMPLATE, align, grey_level, match_brightness, similarity
from emer_edge.runtime.faces.decoders import DETECTORS
from emer_edge.runtime.faces.detector import FaceDetector, fastest_detector, open_detector
from emer_edge.runtime.faces.finder import FaceSource
from emer_edge.runtime.faces.follower import SubjectFollower
from emer_edge.runtime.faces.looks import Face, FaceCandidate, Look, Missing, RecordedFrame, alignment_key

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
    "fastest_detector",
    "grey_level",
    "match_brightness",
    "open_detector",
    "similarity",
]
