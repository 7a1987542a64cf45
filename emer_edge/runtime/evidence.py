"""What both sensors have said up to a hop's end, cut into the window that the network reads.

One class serves the live run, its fast replay and the offline scoring of recordings, so that all three see the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import BundleError
from emer_edge.core.results import State
from emer_edge.core.samples import Frame, StimulusRect, TrackerSample
from emer_edge.core.window import EYE_COLUMN_COUNT, NANOSECONDS
from emer_edge.runtime.column_watch import ColumnWatch
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, FaceSource, Look
from emer_edge.runtime.options import Source
from emer_edge.runtime.say import Say
from emer_edge.signals.rows import column_words, network_row, raw_row, unfilled_columns
from emer_edge.signals.stream import EyeStream, EyeWindow, cut_window

_SILENCE_NS: Final = NANOSECONDS  # without an item for this long a source is stale
_PROFILED_SAMPLES: Final = 1200  # seen samples on which a tracker's empty columns are judged
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
        source: how this person is read; its display is by default the bundle's training display.
        say: told which columns the tracker can't fill, after a second of rows in which an eye is seen, and when
            somebody else is followed; None tells nobody.

    Attributes:
        allowance_ns: arrival allowance D: the step for T runs at T + D.
        samples: samples taken.
        listeners: told of every item: its kind, and what `Output` takes of it; at once, and they must never raise.

    Raises:
        BundleError: the bundle was trained on other eye columns than this version computes.
    """

    def __init__(
        self,
        manifest: Manifest,
        detector: FaceDetector,
        rate_hz: float,
        source: Source = Source(),
        *,
        say: Say | None = None,
    ) -> None:
        if manifest.eye_columns != COLUMN_KEYS:
            other = [has for has, want in zip(manifest.eye_columns, COLUMN_KEYS, strict=True) if has != want]
            raise BundleError(
                f"bundle {manifest.name} was trained on eye columns that a live tracker is not laid out in: "
                f"{', '.join(other)}; use emer-edge predict on clips with the same columns"
            )
        self.spec = manifest.window
        self.allowance_ns = source.window.allowance_ns
        self.faces = FaceSource(detector, manifest.face, self.spec.hop_ns, source.faces, say=say)
        rows = ceil(self.spec.length_ns / NANOSECONDS * max(rate_hz, 1.0))
        self.eyes = EyeStream(_WINDOWS_KEPT * rows + 1, rate_hz)
        display = source.seen_on(manifest.display)
        self.columns = ColumnWatch(manifest.eye_quantiles, display)
        self._say = say
        self._rate_hz = rate_hz
        self._display = display
        self._stimulus = source.stimulus or StimulusRect.whole(display)
        self._times_ns: deque[int] = deque(maxlen=self.spec.hops + 1)
        self._taken = 0
        self._seen_ns: deque[int] = deque(maxlen=rows)
        self._profile = np.full((1, EYE_COLUMN_COUNT), np.nan)
        self._profiled = 0
        self.samples = 0
        self.listeners: list[Callable[..., None]] = []
        self._due_ns: int | None = None
        self.start(0)

    def start(self, origin_ns: int) -> None:
        """Say where the lattice begins; the first hop ends one hop later."""
        self.origin_ns = self.faces.finder.origin_ns = origin_ns
        self._arrivals_ns = {"camera": origin_ns, "tracker": origin_ns}

    def on_frame(self, frame: Frame) -> FaceCandidate | None:
        """Look at a camera frame and take it; return the subject's face when it was looked for and found."""
        return self.on_look(frame, self.faces.finder.see(frame))

    def on_look(self, frame: Frame, look: Look | None) -> FaceCandidate | None:
        """Take a camera frame and what `faces.finder`, perhaps in another thread, saw in it; see `on_frame`."""
        self._arrivals_ns["camera"] = max(self._arrivals_ns["camera"], frame.arrival_ns)
        candidate = self.faces.on_look(frame, look)
        for listener in self.listeners:
            listener("frame", frame, look, self._taken_ns(frame.arrival_ns))
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
        for listener in self.listeners:
            listener("sample", sample, self._taken_ns(sample.arrival_ns))

    def cut(self, end_ns: int) -> HopWindow:
        """Cut the window that ends at `end_ns`; each lattice point once, in ascending order."""
        self._due_ns = end_ns + self.allowance_ns
        face = self.faces.take(end_ns)
        if face is not None:
            self._times_ns.append(face.stamp_ns)
            self._taken += 1
        times_ns = np.array(self._times_ns, np.int64)
        cut = cut_window(times_ns, self.eyes, end_ns, self.spec)
        degraded = unfilled_columns(self._profile) if self._profiled else ()
        if self._say is not None and self._profiled > self._rate_hz:
            self._tell_unfilled(self._say, degraded)
        silent = self._silences(end_ns + self.allowance_ns)
        filling_ns = max(0, self.origin_ns + self.spec.length_ns - end_ns)
        return HopWindow(
            end_ns=end_ns,
            state=State.STALE if silent else State.FILLING if filling_ns else cut.state,
            filling_s=filling_ns / NANOSECONDS,
            face=face,
            faces_taken=self._taken,
            face_numbers=np.where(cut.faces < 0, -1, cut.faces + self._taken - len(times_ns)),
            face_covered=cut.face_covered,
            eye=cut.eye,
            face_age_ms=_age_ms(end_ns, self._times_ns),
            sample_age_ms=_age_ms(end_ns, self._seen_ns),
            degraded=degraded,
            notes=(
                *silent,
                *self._face_notes(end_ns, not cut.face_covered.all()),
                *(each.text for each in self.columns.faults),
            ),
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


def _age_ms(end_ns: int, stamps_ns: deque[int]) -> float | None:
    """Age of the newest stamp that does not lie after `end_ns`."""
    newest_ns = next((each for each in reversed(stamps_ns) if each <= end_ns), None)
    return None if newest_ns is None else (end_ns - newest_ns) * 1e-6
