"""What looking at a frame gave, and frames of a recording, which bring that with them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.runtime.faces.face import Face
from emer_edge.runtime.faces.quality import Missing
from emer_edge.spec.samples import Frame

__all__ = ["FaceCandidate", "Look", "RecordedFrame", "alignment_key"]


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
    """Name how a bundle wants its crops: bundles with the same key can use each other's."""
    light = (record.brightness_mean, record.brightness_std) if record.match_brightness else None
    return hashlib.sha256(json.dumps([record.template_px, light]).encode()).hexdigest()[:16]
