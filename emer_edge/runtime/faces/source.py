"""The camera's half of the evidence: which frames are looked at, and the newest usable face of each hop.

Detection runs on every n-th frame, and on the frame that will probably be the last of its hop, so that a crop is always
cut by landmarks of its own frame and is at most a frame old when its window ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces.align import align
from emer_edge.runtime.faces.detector import FaceDetector
from emer_edge.runtime.faces.follower import SubjectFollower
from emer_edge.spec.samples import Frame
from emer_edge.spec.window import NANOSECONDS

__all__ = ["FaceCandidate", "FaceSource"]

_MOST_WAITING: Final = 64
_ROUNDING_NS: Final = 1_000  # of media times: the frame before the last must not count as the last


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


class FaceSource:
    """Finds, follows and aligns the subject's face.

    Args:
        detector: the bundle's detector.
        template_px: (5, 2) landmarks in the crop, from the manifest.
        hop_ns: length of a hop.
        every: detection runs at least on every `every`-th frame.

    Attributes:
        frames: frames offered.
        detections: frames looked at.
        found: frames in which the subject was found.
        late: frames that came after their hop had been stepped.
        latencies: `detect` and `align`.
        origin_ns: start of the lattice of hops; set it before the first frame.
    """

    def __init__(
        self, detector: FaceDetector, template_px: Sequence[tuple[float, float]], hop_ns: int, every: int = 5
    ) -> None:
        if every < 1:
            raise ConfigurationError(f"detection runs on every frame or every n-th, n at least 1, not {every}")
        self._detector = detector
        self._template = np.asarray(template_px, np.float32)
        self._hop_ns = hop_ns
        self._every = every
        self._waiting: deque[FaceCandidate] = deque(maxlen=_MOST_WAITING)
        self._since = every
        self._previous_ns: int | None = None
        self._stepped_ns: int | None = None
        self._follower = SubjectFollower()
        self.frames = self.detections = self.found = self.late = 0
        self.latencies = {"detect": LatencyRecorder(), "align": LatencyRecorder()}
        self.origin_ns = 0

    @property
    def reacquired_ns(self) -> int | None:
        """When a face was followed anew after the subject had been lost, or None."""
        return self._follower.reacquired_ns

    def on_frame(self, frame: Frame) -> FaceCandidate | None:
        """Take a frame; return the subject's face when it was looked for and found.

        Frames not newer than the one before are ignored.
        """
        previous, self._previous_ns = self._previous_ns, frame.stamp_ns
        self.frames += 1
        self._since += 1
        if previous is not None and frame.stamp_ns <= previous:
            self._previous_ns = previous
            return None
        if self._stepped_ns is not None and frame.stamp_ns <= self._stepped_ns:
            self.late += 1
            return None
        if not self._due(frame.stamp_ns, previous):
            return None
        self._since = 0
        return self._look(frame)

    def take(self, end_ns: int) -> FaceCandidate | None:
        """The newest usable face of the hop that ends at `end_ns`, or None; older ones are let go."""
        self._stepped_ns = end_ns
        taken = None
        while self._waiting and self._waiting[0].stamp_ns <= end_ns:
            taken = self._waiting.popleft()
        return taken if taken is not None and taken.stamp_ns > end_ns - self._hop_ns else None

    def _due(self, stamp_ns: int, previous_ns: int | None) -> bool:
        if self._since >= self._every or previous_ns is None:
            return True
        left_ns = -(stamp_ns - self.origin_ns) % self._hop_ns  # until the hop's end
        return left_ns < min(stamp_ns - previous_ns, NANOSECONDS // 5) - _ROUNDING_NS

    def _look(self, frame: Frame) -> FaceCandidate | None:
        self.detections += 1
        began_ns = perf_counter_ns()
        faces = self._detector.detect(frame.image)
        detect_ns = perf_counter_ns() - began_ns
        self.latencies["detect"].record(detect_ns)
        face = self._follower.update(faces, frame.stamp_ns)
        if face is None:
            return None
        began_ns = perf_counter_ns()
        crop = align(frame.image, face.landmarks_px, self._template)
        align_ns = perf_counter_ns() - began_ns
        self.latencies["align"].record(align_ns)
        candidate = FaceCandidate(frame.stamp_ns, crop, detect_ns, align_ns)
        self.found += 1
        self._waiting.append(candidate)
        return candidate
