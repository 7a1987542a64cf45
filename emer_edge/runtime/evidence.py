"""What both sensors have sent up to a hop's end, cut into the window that the network reads, and the column watch.

One class serves the live run, its fast replay and the offline scoring of recordings, so that all three see the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.core.columns import COLUMN_KEYS, column_words
from emer_edge.core.errors import BundleError
from emer_edge.core.results import State
from emer_edge.core.samples import Display, Frame, StimulusRect, TrackerSample
from emer_edge.core.window import EYE_COLUMN_COUNT, NANOSECONDS, NEW_RULE
from emer_edge.runtime.doubts import SourceDoubts
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, FaceSource, Look
from emer_edge.runtime.options import Source
from emer_edge.runtime.say import Say
from emer_edge.signals.column_faults import TrainedColumns, find_faults
from emer_edge.signals.gaze_faults import Fault
from emer_edge.signals.rows import EyeStream, EyeWindow, cut_window, network_rows, raw_rows, unfilled_columns
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ

_SILENCE_NS: Final = NANOSECONDS  # without an item for this long a source is stale
_PROFILED_SAMPLES: Final = 1200  # seen samples on which a tracker's empty columns are judged
NO_TRACKER: Final = "there is no eye tracker"
UNSEEN: Final = "the eyes are missing in too much of the window"
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
        without_eyes: why this window is read without eyes, by the FER heads alone; empty where it is not.
        notes: sources that are silent, a subject that was lost, the tracker's noise, eye columns that can't be right.
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
    without_eyes: str
    notes: tuple[str, ...]

    @property
    def read(self) -> bool:
        """Whether it is given to the network."""
        return self.state is State.OK or bool(self.without_eyes)


class Evidence:
    """Both streams of one subject. Not to be used by two threads at once; `faces.finder` alone may be another's.

    Args:
        manifest: window, face template and columns of the bundle.
        detector: its face detector.
        rate_hz: the tracker's nominal rate.
        source: how this person is read; its display is by default the bundle's training display.
        eyes: whether there is an eye tracker.
        say: reports the columns that the tracker can't fill, after a second of rows in which an eye is seen, and when
            somebody else is followed; None disables it.

    Attributes:
        allowance_ns: arrival allowance D: the step for T runs at T + D.
        samples: samples taken.
        listeners: called at once with every item's kind and what `Output` takes of it; they must never raise.

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
        eyes: bool = True,
        say: Say | None = None,
    ) -> None:
        if manifest.eye_columns != COLUMN_KEYS:
            other = [theirs for theirs, ours in zip(manifest.eye_columns, COLUMN_KEYS, strict=True) if theirs != ours]
            raise BundleError(
                f"bundle {manifest.name} was trained on eye columns that a live tracker is not laid out in: "
                f"{', '.join(other)}; use emer-edge predict on clips with the same columns"
            )
        self.spec = manifest.window
        self.allowance_ns = source.window.allowance_ns
        self.faces = FaceSource(detector, manifest.face, self.spec.hop_ns, source.faces, say=say)
        rate_hz = min(PLAUSIBLE_RATES_HZ[1], max(0.0, rate_hz))  # a device may claim any
        rows = ceil(self.spec.length_ns / NANOSECONDS * max(rate_hz, 1.0))
        # sheets alone hold what a published network was trained on
        events = NEW_RULE if manifest.events == "published" else manifest.events
        self.eyes = EyeStream(_WINDOWS_KEPT * rows + 1, rate_hz, events)
        display = source.seen_on(manifest.display)
        self.columns = ColumnWatch(manifest.eye_quantiles, display)
        self._say = say
        self._tracked, self._blind = eyes, manifest.blind_refusal is None
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

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What can't be right now: in the eye columns, and of the sources as a whole."""
        return (*self.columns.faults, *self._doubts.faults)

    def start(self, origin_ns: int) -> None:
        """Begin the lattice; the first hop ends one hop later. What came before is in no window from now on."""
        self.origin_ns = origin_ns
        self.faces.start(origin_ns)
        self.eyes.clear()
        self._times_ns.clear()
        self._seen_ns.clear()
        self._doubts = SourceDoubts(self.spec.length_ns)
        self._arrivals_ns = {"camera": origin_ns, "tracker": origin_ns}

    def on_frame(self, frame: Frame) -> FaceCandidate | None:
        """Look at a camera frame and take it; return the subject's face where a look found it."""
        return self.on_look(frame, self.faces.finder.see(frame))

    def on_look(self, frame: Frame, look: Look | None) -> FaceCandidate | None:
        """`on_frame`, with what `faces.finder` saw in the frame, perhaps in another thread."""
        self._arrivals_ns["camera"] = max(self._arrivals_ns["camera"], frame.arrival_ns)
        candidate = self.faces.on_look(frame, look)
        if candidate is not None:
            self._doubts.on_face(candidate.crop)
        for listener in self.listeners:
            listener("frame", frame, look, self._taken_ns(frame.arrival_ns))
        return candidate

    def on_samples(self, samples: Sequence[TrackerSample]) -> None:
        """Take tracker samples, in order of time."""
        if not samples:
            return
        self.samples += len(samples)
        rows = raw_rows(samples, self._display, self._stimulus)
        seen = [sample.left.valid or sample.right.valid for sample in samples]
        stamps_ns = np.array([sample.stamp_ns for sample in samples], np.int64)
        self.eyes.extend(network_rows(rows), stamps_ns, np.array(seen, np.bool_))
        for sample, cells, any_eye in zip(samples, rows, seen, strict=True):
            self._arrivals_ns["tracker"] = max(self._arrivals_ns["tracker"], sample.arrival_ns)
            self._doubts.on_sample(sample)
            if any_eye:
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
            if degraded:
                words = f"{len(degraded)} of the 39 eye columns: {column_words(degraded)}"
                self._say(f"the tracker does not fill {words}; they stay 0")
            self._say = None  # once is enough
        silent = self._silences(end_ns + self.allowance_ns)
        filling_ns = max(0, self.origin_ns + self.spec.length_ns - end_ns)
        state = cut.state
        lost = silent.get("tracker", "")
        too_few = not filling_ns and self._doubts.too_few(end_ns)
        if state is State.OK and (too_few or (lost and self._blind)):
            state = State.NO_GAZE
        if "camera" in silent or (lost and not self._blind):
            state = State.STALE
        elif filling_ns:
            state = State.FILLING
        without_eyes = (lost or UNSEEN if self._tracked else NO_TRACKER) if state is State.NO_GAZE else ""
        return HopWindow(
            end_ns=end_ns,
            state=state,
            filling_s=filling_ns / NANOSECONDS,
            face=face,
            faces_taken=self._taken,
            face_numbers=np.where(cut.faces < 0, -1, cut.faces + self._taken - len(times_ns)),
            face_covered=cut.face_covered,
            eye=cut.eye,
            face_age_ms=_age_ms(end_ns, self._times_ns),
            sample_age_ms=_age_ms(end_ns, self._seen_ns),
            degraded=degraded,
            without_eyes=without_eyes if self._blind else "",
            notes=(
                *silent.values(),
                *self._face_notes(end_ns, not cut.face_covered.all()),
                *cut.eye.notes,
                *(fault.text for fault in self.faults),
            ),
        )

    def _taken_ns(self, arrival_ns: int) -> int:
        return arrival_ns if self._due_ns is None else max(arrival_ns, self._due_ns + 1)

    def _silences(self, due_ns: int) -> dict[str, str]:
        """Source -> how long it has been silent, those that are."""
        return {
            source: f"nothing from the {source} for {(due_ns - arrival_ns) / NANOSECONDS:.1f} s"
            for source, arrival_ns in self._arrivals_ns.items()
            if due_ns - arrival_ns > _SILENCE_NS and (self._tracked or source == "camera")
        }

    def _face_notes(self, end_ns: int, uncovered: bool) -> tuple[str, ...]:
        began_ns, again_ns = max(self.origin_ns, end_ns - self.spec.length_ns), self.faces.reacquired_ns
        notes = []
        if again_ns is not None and began_ns < again_ns <= end_ns:
            notes.append("the subject was lost inside this window; another choice is followed since")
        misses = self.faces.misses(began_ns, end_ns)
        if misses and uncovered:
            notes.append("no usable face: " + ", ".join(f"{why.value} ({n} looks)" for why, n in misses.most_common()))
        return tuple(notes)


def _age_ms(end_ns: int, stamps_ns: deque[int]) -> float | None:
    """Age of the newest stamp that does not lie after `end_ns`."""
    newest_ns = next((stamp_ns for stamp_ns in reversed(stamps_ns) if stamp_ns <= end_ns), None)
    return None if newest_ns is None else (end_ns - newest_ns) * 1e-6


UNWATCHED: Final = "the bundle does not say what its eye columns held in training: wrong units would go unnoticed"
"""The note of a run whose bundle has no column quantiles."""

_SPAN_NS: Final = 8 * NANOSECONDS  # of rows that are judged
_FIRST_NS: Final = 5 * NANOSECONDS  # of rows before the first judgement
_EVERY_NS: Final = NANOSECONDS
_AGREEING: Final = 2  # judgements in a row that make a fault, or unmake it
_MOST_ROWS: Final = 600  # 75 a second are plenty; faster trackers are thinned
_FEWEST_ROWS: Final = 100


class ColumnWatch:
    """Judges the last seconds of rows, once a second.

    A fault is a fault when two judgements in a row find it, at most ten seconds after data that show it began, and is
    over when two in a row don't.

    Args:
        quantiles: column key -> seven quantiles, as a manifest has them; empty: nothing to compare with.
        display: that the run's pixels and millimetres refer to.

    Attributes:
        watching: whether there is anything to compare with.
    """

    def __init__(self, quantiles: Mapping[str, Sequence[float]], display: Display) -> None:
        self._trained = TrainedColumns.of(quantiles)
        self._display = display
        self._rows = np.full((_MOST_ROWS, EYE_COLUMN_COUNT), np.nan)
        self._times_ns = np.full(_MOST_ROWS, np.iinfo(np.int64).min)
        self._count = 0
        self._newest_ns: int | None = None
        self._judged_ns: int | None = None
        self._began_ns = 0
        self._runs: dict[str, int] = {}  # fault -> judgements in a row that found it, negative once they don't
        self._texts: dict[str, str] = {}
        self.watching = self._trained.known

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong now; a fault keeps its first wording."""
        return tuple(Fault(key, text) for key, text in self._texts.items())

    def notes(self, trained: Display | None) -> tuple[str, ...]:
        """What holds for the whole run; `trained` is the display in training, None where that is unknown."""
        other = _display_note(self._display, trained)
        return (*(() if self.watching else (UNWATCHED,)), *(() if other is None else (other,)))

    def add(self, cells: NDArray[np.float64], time_ns: int) -> None:
        """Take one row.

        Args:
            cells: (39,) from `raw_rows` of a sample in which an eye is seen, NaN where missing.
            time_ns: its time.
        """
        if not self.watching:
            return
        newest_ns = self._newest_ns
        if newest_ns is not None and time_ns - newest_ns < _SPAN_NS // _MOST_ROWS:
            return
        if newest_ns is None or time_ns - newest_ns > _SPAN_NS:
            self._began_ns = time_ns  # after a long silence the old rows say nothing
        at = self._count % _MOST_ROWS
        self._rows[at], self._times_ns[at], self._newest_ns = cells, time_ns, time_ns
        self._count += 1
        if time_ns - self._began_ns < _FIRST_NS:
            return
        if self._judged_ns is None or time_ns - self._judged_ns >= _EVERY_NS:
            self._judged_ns = time_ns
            self._judge(time_ns)

    def _judge(self, time_ns: int) -> None:
        recent = self._rows[self._times_ns > time_ns - _SPAN_NS]
        if len(recent) < _FEWEST_ROWS:
            return
        faults = {fault.key: fault for fault in find_faults(recent, self._trained, self._display)}
        for key in {*faults, *self._runs}:
            run = self._runs.get(key, 0)
            self._runs[key] = max(run, 0) + 1 if key in faults else min(run, 0) - 1
            if self._runs[key] >= _AGREEING and key in faults:
                self._texts.setdefault(key, faults[key].text)
            elif self._runs[key] <= -_AGREEING:
                self._runs.pop(key)
                self._texts.pop(key, None)


def _display_note(display: Display, trained: Display | None) -> str | None:
    """Name the display of a run where it differs from the one in training; None where it is the same or unknown."""
    if trained is None or (
        (display.width_px, display.height_px) == (trained.width_px, trained.height_px)
        and abs(display.width_mm / trained.width_mm - 1) < 0.05
        and abs(display.height_mm / trained.height_mm - 1) < 0.05
    ):
        return None
    return (
        f"the display is {_size(display)}, the one in training was {_size(trained)}: "
        "gaze in pixels and millimetres spans another range"
    )


def _size(display: Display) -> str:
    return f"{display.width_px}x{display.height_px} px, {display.width_mm:g}x{display.height_mm:g} mm"
