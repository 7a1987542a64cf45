"""Which frames are looked at, and what is seen in them: the subject found, followed, judged and aligned.

A look runs on every n-th frame, and on the frame that will probably be the last of its hop, so that a crop is always
cut by landmarks of its own frame and is at most a frame old when its window ends. Most looks see the subject's last
place only; once a second, after a loss, and while another face is near, a look sees the whole image.

What is seen depends on the frames alone, never on the steps that are taken meanwhile: a finder may run in a thread of
its own, and a replay of the same frames sees the same.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.errors import ConfigurationError
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces.align import align
from emer_edge.runtime.faces.appearance import Appearance
from emer_edge.runtime.faces.brightness import match_brightness
from emer_edge.runtime.faces.detector import FaceDetector
from emer_edge.runtime.faces.face import Face
from emer_edge.runtime.faces.follower import FORGET_NS, Subject, SubjectFollower
from emer_edge.runtime.faces.look import FaceCandidate, Look, RecordedFrame, alignment_key
from emer_edge.runtime.faces.quality import Missing, why_unusable
from emer_edge.runtime.faces.steady import SteadyLook
from emer_edge.runtime.say import Say
from emer_edge.spec.samples import Frame
from emer_edge.spec.window import NANOSECONDS

__all__ = ["FaceFinder"]

_WHOLE_NS: Final = NANOSECONDS  # between looks at the whole image while all is well
_ROUNDING_NS: Final = 1_000  # of media times: the frame before the last must not count as the last

_Found = tuple[Face, NDArray[np.uint8]]
"""The subject's face and its aligned crop."""


class FaceFinder:
    """Looks at frames. Not to be used by two threads at once.

    Args:
        detector: the bundle's detector.
        record: the landmarks' places in a crop, and whether brightness is matched, from the manifest.
        hop_ns: length of a hop.
        every: a look runs at least on every `every`-th frame.
        subject: who is followed at first, see `SUBJECTS`.
        say: told when somebody is chosen anew; None tells nobody.

    Attributes:
        latencies: `detect` and `align`.
        origin_ns: start of the lattice of hops; set it before the first frame.

    Raises:
        ConfigurationError: `every` below 1, or an unknown `subject`.
    """

    def __init__(
        self,
        detector: FaceDetector,
        record: FaceRecord,
        hop_ns: int,
        every: int = 5,
        subject: Subject = "largest",
        say: Say | None = None,
    ) -> None:
        if every < 1:
            raise ConfigurationError(f"detection runs on every frame or every n-th, n at least 1, not {every}")
        self._detector, self._record, self._say = detector, record, say
        self._template = np.asarray(record.template_px, np.float32)
        self._hop_ns = hop_ns
        self._every = every
        self._since = every  # frames since the last look, this one included
        self._previous_ns: int | None = None
        self._whole_ns: int | None = None
        self._follower = SubjectFollower(subject)
        self._steady = SteadyLook(detector, self._template)
        self._key = alignment_key(record)
        self._other_key = False
        self.latencies = {"detect": LatencyRecorder(), "align": LatencyRecorder()}
        self.origin_ns = 0

    def wants(self, frame: Frame) -> bool:
        """Whether `see` would look for a face in this frame, which takes a while; nothing changes by asking."""
        if self._previous_ns is not None and frame.stamp_ns <= self._previous_ns:
            return False
        if isinstance(frame, RecordedFrame) and frame.aligned_to == self._key:
            return False
        return self._due(frame.stamp_ns)

    def see(self, frame: Frame) -> Look | None:
        """Take a frame, in order of time; return what it shows, None where it is not looked at.

        Frames not newer than the one before are not looked at. Recorded frames bring what was seen in them.
        """
        if self._previous_ns is not None and frame.stamp_ns <= self._previous_ns:
            self._since += 1
            return None
        due = self._due(frame.stamp_ns)
        self._since += 1
        self._previous_ns = frame.stamp_ns
        if isinstance(frame, RecordedFrame) and self._usable(frame):
            return frame.look
        if not due:
            return None
        self._since = 0
        return self._look(frame)

    def _due(self, stamp_ns: int) -> bool:
        if self._since + 1 >= self._every or self._previous_ns is None:
            return True
        left_ns = -(stamp_ns - self.origin_ns) % self._hop_ns  # until the hop's end
        return left_ns < min(stamp_ns - self._previous_ns, NANOSECONDS // 5) - _ROUNDING_NS

    def _usable(self, frame: RecordedFrame) -> bool:
        """Whether a recording's crops are what this bundle wants; told once where they are not."""
        if frame.aligned_to == self._key:
            return True
        if self._say is not None and not self._other_key:
            self._say("this bundle aligns faces otherwise than the recorded one: they are looked for again")
        self._other_key = True
        return False

    def _look(self, frame: Frame) -> Look:
        before_ns = self._follower.reacquired_ns
        began_ns = perf_counter_ns()
        found = self._near(frame) or self._whole(frame)
        detect_ns = perf_counter_ns() - began_ns
        self.latencies["detect"].record(detect_ns)
        anew = self._follower.reacquired_ns != before_ns
        if isinstance(found, Missing):
            return Look(None, None, found, anew, detect_ns)
        began_ns = perf_counter_ns()
        face, crop = found
        why = why_unusable(face, crop, self._template, *frame.image.shape[:2])
        crop = match_brightness(crop, self._record)
        align_ns = perf_counter_ns() - began_ns
        self.latencies["align"].record(align_ns)
        if why is not None:
            return Look(face, None, why, anew, detect_ns, align_ns)
        candidate = FaceCandidate(frame.stamp_ns, crop, detect_ns, align_ns)
        return Look(face, candidate, None, anew, detect_ns, align_ns)

    def _near(self, frame: Frame) -> _Found | None:
        """Look where the subject was; None when the whole image must be looked at."""
        whole_ns = self._whole_ns
        if whole_ns is None or self._follower.crowded or frame.stamp_ns - whole_ns >= _WHOLE_NS:
            return None
        face = self._steady.again(frame.image)
        if face is None:
            return None
        crop = align(frame.image, face.landmarks_px, self._template)
        return (face, crop) if self._follower.confirm(face, frame.stamp_ns, Appearance.of(crop)) else None

    def _whole(self, frame: Frame) -> _Found | Missing:
        faces = self._detector.detect(frame.image)
        before = self._follower.reacquired_ns
        face = self._follower.update(
            faces,
            frame.stamp_ns,
            frame.image.shape[1],
            lambda each: Appearance.of(align(frame.image, each.landmarks_px, self._template)),
        )
        self._whole_ns = None if face is None else frame.stamp_ns  # until it is back, every look sees the whole image
        if self._follower.reacquired_ns != before and self._say is not None:
            self._say(
                f"the subject was not seen for {FORGET_NS / NANOSECONDS:g} s; {self._follower.told} is followed instead"
            )
        if face is None:
            known = self._follower.last is not None
            return (Missing.OTHER if known else Missing.SMALL) if faces else Missing.NONE
        settled = self._steady.start(frame.image, face)
        self._follower.settle(settled)
        return settled, align(frame.image, settled.landmarks_px, self._template)
