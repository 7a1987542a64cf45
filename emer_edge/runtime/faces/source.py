"""The camera's half of the evidence: the newest usable face of each hop, and why there is none."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces.detector import FaceDetector
from emer_edge.runtime.faces.finder import FaceFinder
from emer_edge.runtime.faces.follower import Subject
from emer_edge.runtime.faces.look import FaceCandidate, Look
from emer_edge.runtime.faces.quality import Missing
from emer_edge.runtime.say import Say
from emer_edge.spec.samples import Frame

__all__ = ["FaceCandidate", "FaceSource"]

_MOST_WAITING: Final = 64
_MOST_MISSES: Final = 2000


class FaceSource:
    """Keeps what was seen in frames, and gives each hop its face.

    `on_frame` looks and keeps in one go. Where the finder runs in another thread, `finder.see` is called there and
    `on_look` here, with the same frames in the same order.

    Args:
        detector, record, hop_ns, every, subject, say: see `FaceFinder`.

    Attributes:
        finder: looks at the frames.
        frames: frames offered.
        detections: frames looked at.
        found: frames in which the subject was found and usable.
        missed: why there was no usable face -> number of looks.
        late: looks that were finished after their hop had been stepped: their faces are for later windows only.
        reacquired_ns: when a face was followed anew after the subject had been lost, or None.

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
        self.finder = FaceFinder(detector, record, hop_ns, every, subject, say)
        self._waiting: deque[FaceCandidate] = deque(maxlen=_MOST_WAITING)
        self._misses: deque[tuple[int, Missing]] = deque(maxlen=_MOST_MISSES)
        self._stepped_ns: int | None = None
        self.missed: Counter[Missing] = Counter()
        self.frames = self.detections = self.found = self.late = 0
        self.reacquired_ns: int | None = None

    @property
    def latencies(self) -> dict[str, LatencyRecorder]:
        """`detect` and `align`."""
        return self.finder.latencies

    def misses(self, after_ns: int, until_ns: int) -> Counter[Missing]:
        """Why looks in (after_ns, until_ns] gave no usable face -> number of looks."""
        return Counter(reason for stamp_ns, reason in self._misses if after_ns < stamp_ns <= until_ns)

    def on_frame(self, frame: Frame) -> FaceCandidate | None:
        """Look at a frame and keep what was seen, see `on_look`."""
        return self.on_look(frame, self.finder.see(frame))

    def on_look(self, frame: Frame, look: Look | None) -> FaceCandidate | None:
        """Keep what `finder.see` saw in a frame; return the subject's face when it is usable."""
        self.frames += 1
        if look is None:
            return None
        self.detections += 1
        if look.anew:
            self.reacquired_ns = frame.stamp_ns
        if self._stepped_ns is not None and frame.stamp_ns <= self._stepped_ns:
            self.late += 1
        if look.candidate is not None:
            self.found += 1
            self._waiting.append(look.candidate)
        elif look.missed is not None:
            self.missed[look.missed] += 1
            self._misses.append((frame.stamp_ns, look.missed))
        return look.candidate

    def take(self, end_ns: int) -> FaceCandidate | None:
        """The newest usable face up to `end_ns`, None where none has come since the last step; older ones are let go.

        It is of the hop that ends there, or, where that has none, one that came too late for its own step.
        """
        self._stepped_ns = end_ns
        taken = None
        while self._waiting and self._waiting[0].stamp_ns <= end_ns:
            taken = self._waiting.popleft()
        return taken
