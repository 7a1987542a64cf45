"""What both sensors have said up to a hop's end, cut into the window that the network reads.

One class serves the live run, its fast replay and the offline scoring of recordings, so that all three see the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.errors import BundleError
from emer_edge.runtime.columns import ColumnWatch
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, FaceSource, Look, Subject
from emer_edge.runtime.say import Say
from emer_edge.runtime.tap import Tap
from emer_edge.signals.rows import column_words, network_row, raw_row, unfilled_columns
from emer_edge.signals.slots import face_slots
from emer_edge.signals.stream import EyeStream, EyeWindow
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.results import State
from emer_edge.spec.samples import Display, Frame, StimulusRect, TrackerSample
from emer_edge.spec.window import EYE_COLUMN_COUNT, NANOSECONDS

__all__ = ["ARRIVAL_ALLOWANCE_NS", "Evidence", "HopWindow", "replay"]

ARRIVAL_ALLOWANCE_NS: Final = 50_000_000
"""The step for T runs this long after T, on items stamped up to T that have arrived by then."""

_SILENCE_NS: Final = NANOSECONDS  # without an item for this long a source is stale
_PROFILED_SAMPLES: Final = 1200  # seen samples on which a tracker's empty columns are judged
_ROUNDING_NS: Final = 1_000_000  # media times are rounded: 360 frames at 30 fps are 12 s
_WINDOWS_KEPT: Final = 3  # of eye rows, so that a silence or a wrong nominal rate can't push a window out of the ring


@dataclass(frozen=True, eq=False, slots=True)
class HopWindow:
    """One hop's window.

    Attributes:
        end_ns: its end.
        state: `ok`, or why there is no emotion.
        filling_s: seconds until the first window is full.
        face: the newest usable face since the last step, to be encoded as number `faces_taken - 1`.
        faces_taken: candidates so far.
        face_numbers: (8,) number of the candidate in each face slot, -1 where the window holds none.
        face_covered: (8,) bool.
        eye: the eye half.
        face_age_ms, sample_age_ms: age at `end_ns` of the newest usable face and of the newest sample that saw an eye.
        degraded: eye columns that the tracker has not filled.
        notes: sources that are silent, a subject that was lost, eye columns that can't be right.
    """

    end_ns: int
    state: State
    filling_s: float
    face: FaceCandidate | None
    faces_taken: int
    face_numbers: NDArray[np.int64]
    face_covered: NDArray[np.bool_]
    eye: EyeWindow
    face_age_ms: float | None
    sample_age_ms: float | None
    degraded: tuple[str, ...]
    notes: tuple[str, ...]


class Evidence:
    """Both streams of one subject. Not to be used by two threads at once; `faces.finder` alone may be another's.

    Args:
        manifest: window, face template and columns of the bundle.
        detector: its face detector.
        rate_hz: the tracker's nominal rate.
        display: what gaze pixels refer to.
        stimulus: frame of the MCS columns; the whole display by default.
        detect_every: see `FaceSource`.
        allowance_ns: arrival allowance D.
        subject: who is followed at first.
        say: told which columns the tracker can't fill, after a second of rows in which an eye is seen, and when
            somebody else is followed; None tells nobody.

    Attributes:
        samples: samples taken.
        taps: told of every item.

    Raises:
        BundleError: the bundle was trained on other eye columns than this version computes.
    """

    def __init__(
        self,
        manifest: Manifest,
        detector: FaceDetector,
        rate_hz: float,
        display: Display,
        stimulus: StimulusRect | None = None,
        detect_every: int = 5,
        allowance_ns: int = ARRIVAL_ALLOWANCE_NS,
        subject: Subject = "largest",
        say: Say | None = None,
    ) -> None:
        if manifest.eye_columns != COLUMN_KEYS:
            other = [has for has, want in zip(manifest.eye_columns, COLUMN_KEYS, strict=True) if has != want]
            raise BundleError(
                f"bundle {manifest.name} was trained on eye columns that a live tracker is not laid out in: "
                f"{', '.join(other)}; use emer-edge predict on clips with the same columns"
            )
        self.spec = manifest.window
        self.allowance_ns = allowance_ns
        self.faces = FaceSource(detector, manifest.face, self.spec.hop_ns, detect_every, subject, say)
        rows = ceil(self.spec.length_ns / NANOSECONDS * max(rate_hz, 1.0))
        self.eyes = EyeStream(_WINDOWS_KEPT * rows + 1, rate_hz)
        self.columns = ColumnWatch(manifest.eye_quantiles, display)
        self._say = say
        self._rate_hz = rate_hz
        self._display = display
        self._stimulus = stimulus or StimulusRect.whole(display)
        self._times_ns: deque[int] = deque(maxlen=self.spec.hops + 1)
        self._taken = 0
        self._seen_ns: deque[int] = deque(maxlen=rows)
        self._profile = np.full((1, EYE_COLUMN_COUNT), np.nan)
        self._profiled = 0
        self.samples = 0
        self.taps: list[Tap] = []
        self._due_ns: int | None = None
        self.start(0)

    def start(self, origin_ns: int) -> None:
        """Say where the lattice begins; the first hop ends one hop later."""
        self.origin_ns = self.faces.finder.origin_ns = origin_ns
        self._arrivals_ns = {"camera": origin_ns, "tracker": origin_ns}
        for tap in self.taps:
            tap.on_origin(origin_ns)

    def on_frame(self, frame: Frame) -> FaceCandidate | None:
        """Look at a camera frame and take it; return the subject's face when it was looked for and found."""
        return self.on_look(frame, self.faces.finder.see(frame))

    def on_look(self, frame: Frame, look: Look | None) -> FaceCandidate | None:
        """Take a camera frame and what `faces.finder`, perhaps in another thread, saw in it; see `on_frame`."""
        self._arrivals_ns["camera"] = max(self._arrivals_ns["camera"], frame.arrival_ns)
        candidate = self.faces.on_look(frame, look)
        for tap in self.taps:
            tap.on_frame(frame, look, self._taken_ns(frame.arrival_ns))
        return candidate

    def on_sample(self, sample: TrackerSample) -> None:
        """Take a tracker sample."""
        self._arrivals_ns["tracker"] = max(self._arrivals_ns["tracker"], sample.arrival_ns)
        self.samples += 1
        cells, seen = raw_row(sample, self._display, self._stimulus), sample.left.valid or sample.right.valid
        self.eyes.append(network_row(cells), sample.stamp_ns, seen)
        if seen:
            self._seen_ns.append(sample.stamp_ns)
            self.columns.add(cells, sample.stamp_ns)
            if self._profiled < _PROFILED_SAMPLES:
                self._profiled += 1
                self._profile = np.where(np.isnan(self._profile), cells, self._profile)
        for tap in self.taps:
            tap.on_sample(sample, self._taken_ns(sample.arrival_ns))

    def cut(self, end_ns: int) -> HopWindow:
        """Cut the window that ends at `end_ns`; each lattice point once, in ascending order."""
        self._due_ns = end_ns + self.allowance_ns
        face = self.faces.take(end_ns)
        if face is not None:
            self._times_ns.append(face.stamp_ns)
            self._taken += 1
        times_ns = np.array(self._times_ns, np.int64)
        index, covered = face_slots(times_ns, end_ns, self.spec)
        numbers = np.where(index < 0, -1, index + self._taken - len(times_ns))
        eye = self.eyes.window(end_ns, self.spec)
        degraded = unfilled_columns(self._profile) if self._profiled else ()
        if self._say is not None and self._profiled > self._rate_hz:
            self._tell_unfilled(self._say, degraded)
        silent = self._silences(end_ns + self.allowance_ns)
        filling_ns = max(0, self.origin_ns + self.spec.length_ns - end_ns)
        state = State.OK
        if silent:
            state = State.STALE
        elif filling_ns:
            state = State.FILLING
        elif covered.sum() < self.spec.min_face_slots:
            state = State.NO_FACE
        elif eye.covered.sum() < self.spec.min_eye_slots:
            state = State.NO_GAZE
        return HopWindow(
            end_ns=end_ns,
            state=state,
            filling_s=filling_ns / NANOSECONDS,
            face=face,
            faces_taken=self._taken,
            face_numbers=numbers,
            face_covered=covered,
            eye=eye,
            face_age_ms=_age_ms(end_ns, self._times_ns),
            sample_age_ms=_age_ms(end_ns, self._seen_ns),
            degraded=degraded,
            notes=(*silent, *self._face_notes(end_ns, not covered.all()), *(each.text for each in self.columns.faults)),
        )

    def _tell_unfilled(self, say: Say, keys: tuple[str, ...]) -> None:
        self._say = None  # once is enough
        if keys:
            say(f"the tracker does not fill {len(keys)} of the 39 eye columns: {column_words(keys)}; they stay 0")

    def _taken_ns(self, arrival_ns: int) -> int:
        return arrival_ns if self._due_ns is None else max(arrival_ns, self._due_ns + 1)

    def _silences(self, due_ns: int) -> tuple[str, ...]:
        return tuple(
            f"nothing from the {source} for {(due_ns - arrival_ns) / NANOSECONDS:.1f} s"
            for source, arrival_ns in self._arrivals_ns.items()
            if due_ns - arrival_ns > _SILENCE_NS
        )

    def _face_notes(self, end_ns: int, uncovered: bool) -> tuple[str, ...]:
        began_ns, again_ns = end_ns - self.spec.length_ns, self.faces.reacquired_ns
        notes = []
        if again_ns is not None and began_ns < again_ns <= end_ns:
            notes.append("the subject was lost inside this window; another choice is followed since")
        misses = self.faces.misses(began_ns, end_ns)
        if misses and uncovered:
            notes.append("no usable face: " + ", ".join(f"{why.value} ({n} looks)" for why, n in misses.most_common()))
        return tuple(notes)


def replay(
    evidence: Evidence,
    frames: Iterable[Frame],
    samples: Iterable[TrackerSample],
    frame_period_ns: int,
    sample_period_ns: int,
    steps_ns: Iterable[int] | None = None,
) -> Iterator[int]:
    """Feed two finite streams in the order of arrival and name each step when it is due.

    The lattice starts when both streams have begun and ends with the shorter one: with its last item and one period.
    Given `steps_ns`, it starts at 0 and has just these steps.

    Args:
        evidence: takes the items; its lattice is started here.
        frames: the camera's, in order of arrival.
        samples: the tracker's, in order of arrival.
        frame_period_ns: time that the last frame stands for.
        sample_period_ns: time that the last sample stands for.
        steps_ns: ends of the windows that a recorded run has given, counted from its lattice's start.

    Yields:
        Ends of windows; cut each before asking for the next.
    """
    frame_items, sample_items = iter(frames), iter(samples)
    frame, sample = next(frame_items, None), next(sample_items, None)
    if steps_ns is not None:
        evidence.start(0)
        for end_ns in steps_ns:
            due_ns = end_ns + evidence.allowance_ns
            while frame is not None and frame.arrival_ns <= due_ns:
                evidence.on_frame(frame)
                frame = next(frame_items, None)
            while sample is not None and sample.arrival_ns <= due_ns:
                evidence.on_sample(sample)
                sample = next(sample_items, None)
            yield end_ns
        return
    if frame is None or sample is None:
        return
    evidence.start(max(frame.stamp_ns, sample.stamp_ns))
    end_ns = evidence.origin_ns + evidence.spec.hop_ns
    limit_ns: int | None = None
    while limit_ns is None or end_ns <= limit_ns:
        due_ns = end_ns + evidence.allowance_ns
        if (
            frame is not None
            and frame.arrival_ns <= due_ns
            and (sample is None or frame.arrival_ns <= sample.arrival_ns)
        ):
            evidence.on_frame(frame)
            last_ns, frame = frame.stamp_ns, next(frame_items, None)
            if frame is None:
                limit_ns = _earlier(limit_ns, last_ns + frame_period_ns + _ROUNDING_NS)
        elif sample is not None and sample.arrival_ns <= due_ns:
            evidence.on_sample(sample)
            last_ns, sample = sample.stamp_ns, next(sample_items, None)
            if sample is None:
                limit_ns = _earlier(limit_ns, last_ns + sample_period_ns + _ROUNDING_NS)
        else:
            yield end_ns
            end_ns += evidence.spec.hop_ns


def _earlier(one_ns: int | None, other_ns: int) -> int:
    return other_ns if one_ns is None else min(one_ns, other_ns)


def _age_ms(end_ns: int, stamps_ns: deque[int]) -> float | None:
    """Age of the newest stamp that does not lie after `end_ns`."""
    newest_ns = next((each for each in reversed(stamps_ns) if each <= end_ns), None)
    return None if newest_ns is None else (end_ns - newest_ns) * 1e-6
