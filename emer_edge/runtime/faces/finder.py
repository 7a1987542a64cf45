"""Which frames are looked at, and what is seen in them: the subject, followed, judged and aligned.

A look runs on every n-th frame, and on the frame that will probably be the last of its hop, so that a crop is always
cut by landmarks of its own frame and is at most a frame old when its window ends. Most looks see the subject's last
place only; once a second, after a loss, and while another face is near, a look sees the whole image.

Without a given n it is every fifth frame, and those in mid-hop are passed over while the face is calm: they feed no
crop. Where the face isn't near its place at the hop's end, that frame alone is looked at whole. Every other second one
in mid-hop is glanced at, at half the size: where that shows the face in its place and nobody else, it is passed over,
too. After a miss the next frame is looked at.

What is seen depends on the frames alone, never on the steps that are taken meanwhile: a finder may run in a thread of
its own, and a replay of the same frames sees the same.
"""

from __future__ import annotations

from collections import Counter, deque
from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.samples import Frame
from emer_edge.core.window import NANOSECONDS
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces.detector import FaceDetector
from emer_edge.runtime.faces.follower import FORGET_NS, Appearance, SubjectFollower
from emer_edge.runtime.faces.looks import (
    Face,
    FaceCandidate,
    Look,
    Missing,
    RecordedFrame,
    align,
    alignment_key,
    match_brightness,
    overlap,
    similarity,
    why_unusable,
)
from emer_edge.runtime.options import DETECT_EVERY, FaceOptions
from emer_edge.runtime.say import Say

# Pixels of the crop. Over 40 looks at a still face with strong sensor noise (4 grey levels) landmarks ranged over up to
# 1.45 px when each look was drawn by the last one, over up to 0.80 px with this.
_MOVED_PX: Final = 2.5
_SAME_PLACE: Final = 0.5


class SteadyLook:
    """Finds one face again and again, by near looks that stand still while the face does.

    Each look is drawn by the landmarks of an earlier one, so their noise would come back look after look. The landmarks
    that looks are drawn by are therefore kept until the face has really moved; then it is looked at twice, because a
    look that is drawn off its mark finds the face a little too near to where it was.

    Args:
        detector: the bundle's detector.
        template_px: (5, 2) float32, the landmarks' places in a crop.
    """

    def __init__(self, detector: FaceDetector, template_px: NDArray[np.float32]) -> None:
        self._detector, self._template = detector, template_px
        self._anchor: Face | None = None

    def start(self, image: NDArray[np.uint8], face: Face) -> Face:
        """Give a face from a look at the whole image (H, W, 3) the landmarks of near looks."""
        if self._anchor is not None and overlap(self._anchor.box_px, face.box_px) > _SAME_PLACE:
            again = self.again(image)
            if again is not None and overlap(again.box_px, face.box_px) > _SAME_PLACE:
                return again
        self._anchor = self._detector.settled(image, face, self._template)
        return self._anchor

    def again(self, image: NDArray[np.uint8]) -> Face | None:
        """Find the face near where it was; None when it is not there."""
        anchor = self._anchor
        face = None if anchor is None else self._detector.again(image, anchor, self._template)
        if anchor is None or face is None or self._off_px(face, anchor) <= _MOVED_PX:
            return face
        self._anchor = self._detector.again(image, face, self._template) or face
        return self._anchor

    def _off_px(self, face: Face, anchor: Face) -> float:
        scale = float(np.hypot(*similarity(anchor.landmarks_px, self._template)[:, 0]))
        return scale * float(np.abs(face.landmarks_px - anchor.landmarks_px).max())


_WHOLE_NS: Final = NANOSECONDS  # between looks at the whole image while all is well
_GLANCE_NS: Final = 2 * NANOSECONDS  # between glances around a calm face
_CALM_NS: Final = 600_000_000  # between looks at a calm face: a hop, and a frame that came late
_UNSURE: Final = 15  # per cent of a frame's period by which the next one may come late
_DISTRUST_NS: Final = 10 * NANOSECONDS  # after a hop whose last frame was not known as such
_GLANCED: Final = 0.15  # of the larger side: a face so large is found at half the size, and one of half its size, too
_ROUNDING_NS: Final = 1_000  # of media times: the frame before the last must not count as the last

_Seen = tuple[Face, NDArray[np.uint8]]
"""The subject's face and its aligned crop."""


class FaceFinder:
    """Looks at frames. Not to be used by two threads at once.

    Args:
        detector: the bundle's detector.
        record: the landmarks' places in a crop, and whether brightness is matched, from the manifest.
        hop_ns: length of a hop.
        options: who is followed at first, and on every how many frames a look runs at least.
        say: reports when somebody is chosen anew; None disables it.

    Attributes:
        latencies: `detect` and `align`.
        origin_ns: start of the lattice of hops; `start` sets it before the first frame.
    """

    def __init__(
        self,
        detector: FaceDetector,
        record: FaceRecord,
        hop_ns: int,
        options: FaceOptions = FaceOptions(),
        *,
        say: Say | None = None,
    ) -> None:
        self._detector, self._record, self._say = detector, record, say
        self._template = np.asarray(record.template_px, np.float32)
        self._hop_ns = hop_ns
        self._every, self._adapts = options.detect_every or DETECT_EVERY, options.detect_every is None
        self._subject = options.subject
        self._key = alignment_key(record)
        self._other_key = False
        self.latencies = {"detect": LatencyRecorder(), "align": LatencyRecorder()}
        self.start(0)

    def start(self, origin_ns: int) -> None:
        """Begin the lattice of hops, and with it anew: nobody is followed yet."""
        self.origin_ns = origin_ns
        self._since = 0  # frames since the last one that was due
        self._previous_ns: int | None = None
        self._looked_ns = self._period_ns = 0
        self._calm = False  # at the last look
        self._trusted_ns = 0  # from when on frames are taken to come evenly
        self._missed = False  # by the last look
        self._again = False  # the first look that missed asks for one at the next frame
        self._passed_in: int | None = None  # hop of the last frame that was passed over since the last look
        self._whole_ns: int | None = None
        self._follower = SubjectFollower(self._subject)
        self._steady = SteadyLook(self._detector, self._template)

    def wants(self, frame: Frame, waiting: int = 0) -> bool:
        """Whether `see` would look for a face in this frame, which takes a while; nothing changes by asking.

        `waiting`: frames before it that `see` is still to take.
        """
        if self._previous_ns is not None and frame.stamp_ns <= self._previous_ns:
            return False
        if isinstance(frame, RecordedFrame) and frame.aligned_to == self._key:
            return False
        passes = self._passes(frame.stamp_ns) and not self._whole_due(frame.stamp_ns)
        return self._due(frame.stamp_ns, waiting) and not passes

    def see(self, frame: Frame) -> Look | None:
        """Take a frame, in order of time; return what it shows, None where it is not looked at.

        Frames not newer than the one before are not looked at. Recorded frames bring what was seen in them.
        """
        if self._previous_ns is not None and frame.stamp_ns <= self._previous_ns:
            self._since += 1
            return None
        due, passes = self._due(frame.stamp_ns), self._passes(frame.stamp_ns)
        self._since += 1
        self._previous_ns, self._period_ns = frame.stamp_ns, self._period_to(frame.stamp_ns)
        if isinstance(frame, RecordedFrame) and self._usable(frame):
            return frame.look
        if not due:
            return None
        self._since, hop = 0, self._hop_of(frame.stamp_ns)
        if self._passed_in not in (None, hop):
            passes, self._trusted_ns = False, frame.stamp_ns + _DISTRUST_NS  # a hop went by without a look
        if passes and (not self._whole_due(frame.stamp_ns) or self._is_alone(frame)):
            self._passed_in = hop
            return None
        look = self._look(frame)
        self._passed_in = None
        missed, self._missed = self._missed, look.candidate is None
        self._again = self._adapts and self._missed and not missed
        steady = not (missed or self._missed) and self._follower.calm
        self._calm = self._adapts and steady and frame.stamp_ns >= self._trusted_ns
        self._looked_ns = frame.stamp_ns
        return look

    def ends_hop(self, stamp_ns: int, period_ns: int | None = None) -> bool:
        """Whether a frame is probably its hop's last; `period_ns`: since the one before, else of the one seen last."""
        left_ns = -(stamp_ns - self.origin_ns) % self._hop_ns
        return left_ns < (self._period_ns if period_ns is None else period_ns) - _ROUNDING_NS

    def _period_to(self, stamp_ns: int) -> int:
        """Time since the frame before, a fifth of a second at most; 0 for the first."""
        return 0 if self._previous_ns is None else min(stamp_ns - self._previous_ns, NANOSECONDS // 5)

    def _hop_of(self, stamp_ns: int) -> int:
        return -((self.origin_ns - stamp_ns) // self._hop_ns)

    def _due(self, stamp_ns: int, waiting: int = 0) -> bool:
        if self._previous_ns is None or self._again or self._since + waiting + 1 >= self._every:
            return True
        return self._may_end_hop(stamp_ns)

    def _may_end_hop(self, stamp_ns: int) -> bool:
        """Whether a frame may be its hop's last: where frames in mid-hop were passed over, a late one counts on it."""
        period_ns = self._period_to(stamp_ns)
        return self.ends_hop(stamp_ns, period_ns * (100 + _UNSURE) // 100 if self._calm else period_ns)

    def _passes(self, stamp_ns: int) -> bool:
        """Whether a frame that is due is passed over, or only glanced at: of a calm face, in mid-hop."""
        if not self._calm or self._previous_ns is None:
            return False
        return not self._may_end_hop(stamp_ns) and stamp_ns - self._looked_ns <= _CALM_NS

    def _whole_due(self, stamp_ns: int) -> bool:
        every_ns = _GLANCE_NS if self._calm else _WHOLE_NS
        return self._whole_ns is None or stamp_ns - self._whole_ns >= every_ns

    def _is_alone(self, frame: Frame) -> bool:
        """Whether a glance at the whole image shows the subject where it was, and nobody else."""
        last, possible = self._follower.last, self._detector.glances and self._detector.looks_near
        if not possible or last is None or last.size_px < _GLANCED * max(frame.shape[:2]):
            return False
        faces = self._detector.glance(frame.image)
        if len(faces) != 1 or overlap(faces[0].box_px, last.box_px) <= _SAME_PLACE:
            return False
        self._whole_ns = frame.stamp_ns
        return True

    def _usable(self, frame: RecordedFrame) -> bool:
        """Whether a recording's crops are aligned as this bundle needs them; reported once where they are not."""
        if frame.aligned_to == self._key:
            return True
        if self._say is not None and not self._other_key:
            self._say("this bundle aligns faces otherwise than the recorded one: they are looked for again")
        self._other_key = True
        return False

    def _look(self, frame: Frame) -> Look:
        before_ns = self._follower.reacquired_ns
        began_ns = perf_counter_ns()
        seen = self._near(frame) or self._whole(frame)
        detect_ns = perf_counter_ns() - began_ns
        self.latencies["detect"].record(detect_ns)
        anew = self._follower.reacquired_ns != before_ns
        if isinstance(seen, Missing):
            return Look(None, None, seen, anew, detect_ns=detect_ns)
        began_ns = perf_counter_ns()
        face, crop = seen
        why = why_unusable(face, crop, self._template, frame.shape)
        crop = match_brightness(crop, self._record)
        align_ns = perf_counter_ns() - began_ns
        self.latencies["align"].record(align_ns)
        candidate = FaceCandidate(frame.stamp_ns, crop, detect_ns, align_ns) if why is None else None
        return Look(face, candidate, why, anew, detect_ns=detect_ns, align_ns=align_ns)

    def _near(self, frame: Frame) -> _Seen | None:
        """Look where the subject was; None when the whole image must be looked at."""
        if self._whole_ns is None or self._follower.crowded:
            return None
        spared_ns = _WHOLE_NS if self._calm and self.ends_hop(frame.stamp_ns) else 0  # a step waits for it
        if self._whole_due(frame.stamp_ns - spared_ns):
            return None
        face = self._steady.again(frame.image)
        if face is None:
            return None
        crop = align(frame.image, face.landmarks_px, self._template)
        return (face, crop) if self._follower.confirm(face, frame.stamp_ns, Appearance.of(crop)) else None

    def _whole(self, frame: Frame) -> _Seen | Missing:
        before = self._follower.reacquired_ns

        def appearance(face: Face) -> Appearance:
            return Appearance.of(align(frame.image, face.landmarks_px, self._template))

        faces = self._detector.detect(frame.image)
        face = self._follower.update(faces, frame.stamp_ns, frame.shape[1], appearance)
        self._whole_ns = None if face is None else frame.stamp_ns  # until it is back, every look sees the whole image
        if self._follower.reacquired_ns != before and self._say is not None:
            who = self._follower.described
            self._say(f"the subject was not seen for {FORGET_NS / NANOSECONDS:g} s; {who} is followed instead")
        if face is None:
            known = self._follower.last is not None
            return (Missing.OTHER if known else Missing.SMALL) if faces else Missing.NONE
        settled = self._steady.start(frame.image, face)
        self._follower.settle(settled)
        return settled, align(frame.image, settled.landmarks_px, self._template)


_MOST_WAITING: Final = 64
_MOST_MISSES: Final = 2000


class FaceSource:
    """The camera's half of the evidence: keeps what was seen in frames, and gives each hop its face.

    Where the finder runs in another thread, `finder.see` is called there and `on_look` here, with the same frames in
    the same order. The arguments are those of `FaceFinder`.

    Attributes:
        finder: looks at the frames.
        frames: frames offered.
        detections: frames looked at.
        found: frames in which the subject was found and usable.
        missed: why there was no usable face -> number of looks.
        late: looks that were finished after their hop had been stepped: their faces are for later windows only.
        reacquired_ns: when a face was followed anew after the subject had been lost, or None.
    """

    def __init__(
        self,
        detector: FaceDetector,
        record: FaceRecord,
        hop_ns: int,
        options: FaceOptions = FaceOptions(),
        *,
        say: Say | None = None,
    ) -> None:
        self.finder = FaceFinder(detector, record, hop_ns, options, say=say)
        self._waiting: deque[FaceCandidate] = deque(maxlen=_MOST_WAITING)
        self._misses: deque[tuple[int, Missing]] = deque(maxlen=_MOST_MISSES)
        self._stepped_ns: int | None = None
        self.missed: Counter[Missing] = Counter()
        self.frames = self.detections = self.found = self.late = 0
        self.reacquired_ns: int | None = None

    def start(self, origin_ns: int) -> None:
        """Begin the lattice of hops: faces from before are let go, and nobody is followed yet."""
        self.finder.start(origin_ns)
        self._waiting.clear()
        self.reacquired_ns = None

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
