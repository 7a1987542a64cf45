"""From a camera image to the subject's aligned crop."""

from __future__ import annotations

from emer_edge.runtime.faces.align import ARCFACE_TEMPLATE, align, similarity
from emer_edge.runtime.faces.brightness import grey_level, match_brightness
from emer_edge.runtime.faces.detector import DETECTORS, FaceDetector, fastest_detector, open_detector
from emer_edge.runtime.faces.face import Face
from emer_edge.runtime.faces.follower import SUBJECTS, Subject, SubjectFollower
from emer_edge.runtime.faces.look import FaceCandidate, Look, RecordedFrame, alignment_key
from emer_edge.runtime.faces.quality import Missing
from emer_edge.runtime.faces.source import FaceSource

__all__ = [
    "ARCFACE_TEMPLATE",
    "DETECTORS",
    "SUBJECTS",
    "Face",
    "FaceCandidate",
    "FaceDetector",
    "FaceSource",
    "Look",
    "Missing",
    "RecordedFrame",
    "Subject",
    "SubjectFollower",
    "align",
    "alignment_key",
    "fastest_detector",
    "grey_level",
    "match_brightness",
    "open_detector",
    "similarity",
]
