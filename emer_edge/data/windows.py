"""Clips as windows: the frames and eye rows that the network sees.

A clip is a recording that ends where its window ends. With times, told or in the sheet, the frames are spread over the
same span, and a clip that is longer than a window is read as windows: the last one, and in training any. Clips without
times stretch to the window's length, item i of n at (i + 1) L / n.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import COLUMN_KEYS, EVENTS, GAZE_POINT, MOVEMENT_TYPE, column_indices
from emer_edge.core.results import State
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS, NEW_RULE, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.frames import frame_times_ns
from emer_edge.data.images import stack_faces
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.signals.rows import EyeStream, cut_window, hop_candidates
from emer_edge.signals.time_units import nominal_rate_hz

AlterRows = Callable[
    [NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]],
    tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]],
]
"""Changes rows (n, 39), their ascending times and whether an eye was seen: new arrays, perhaps of another n."""


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """A window of a clip.

    Attributes:
        frames: (8,) int64, indices of the clip's frames.
        eye: (32, 39) float32.
        gaze: (32, 2) float32, gaze point X, Y in display pixels.
        covered_face: (8,) bool, whether the slot has a frame of its own.
        covered_eye: (32,) bool, whether an eye was seen in the slot.
        notes: the tracker's noise, where rows were smoothed against it.
    """

    frames: NDArray[np.int64]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    covered_face: NDArray[np.bool_]
    covered_eye: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


class PreparedClip:
    """A clip with its times and eye movements, from which windows can be drawn thousands of times.

    Holds the eye rows (about 0.4 MB for an EMER clip) and no frames.

    Args:
        clip: the clip.
        spec: the window.
        events: how columns 33 to 39 are filled.
        profile: reduces the rows to those of another tracker.
        alter: changes the rows; gaps that it leaves are filled like those of a live stream. The window's end stays.

    Attributes:
        end_ns: end of its window.
        candidates: (m,) int64, indices of the frames that a live run would encode: the newest of each hop.

    Raises:
        DataError: its frames or its eye sheet can't be read.
    """

    def __init__(
        self,
        clip: Clip,
        spec: WindowSpec,
        events: EventsRule = NEW_RULE,
        profile: TrackerProfile | None = None,
        alter: AlterRows | None = None,
    ) -> None:
        track = clip.eye()
        times_ns = track.times_in(spec.length_ns)
        rows, seen = track.rows, track.seen
        if profile is not None:
            kept = profile.kept(times_ns)
            times_ns = times_ns[kept]
            rows, seen = profile.rows(rows[kept], seen[kept])
        self.clip = clip
        self.end_ns = int(times_ns[-1])
        self._spec = spec
        self._frame_times_ns = frame_times_ns(clip.frames_path, clip.frame_names, self.end_ns)
        self.candidates = hop_candidates(self._frame_times_ns, self.end_ns, spec)
        rate_hz = nominal_rate_hz(times_ns.tolist()) if track.timed or alter is not None else 0.0
        if alter is not None:
            rows, times_ns, seen = alter(rows, times_ns, seen)
        self._rows, self._times_ns, self._seen = rows, times_ns, seen
        self._rate_hz, self._events = rate_hz, events
        self._stream = self._streamed(rows, times_ns, seen)

    def window(self) -> ClipWindow:
        """The clip's deterministic window, for bench, calibration and a live run of the clip."""
        return self._cut(self.candidates, self.end_ns)[0]

    def live(self) -> list[ClipWindow]:
        """Cut the windows of a live run over the clip, oldest first.

        The run has seen nothing before the clip, and its lattice starts with it: one window per hop up to the clip's
        end in which both coverage floors are met. They overlap, so they are not independent samples. Empty for a clip
        that is too short or poorly covered.
        """
        spec = self._spec
        candidates = hop_candidates(self._frame_times_ns, 0, spec)
        windows = []
        for end_ns in range(spec.hop_ns, self.end_ns + 1, spec.hop_ns):
            window, state = self._cut(candidates[self._frame_times_ns[candidates] <= end_ns], end_ns)
            if state is State.OK:
                windows.append(window)
        return windows

    def draw(
        self, rng: np.random.Generator, *, candidates_only: bool = False, alter: AlterRows | None = None
    ) -> ClipWindow:
        """A random item of each slot of a window that lies anywhere in the clip, for training.

        With `candidates_only` faces come from `candidates`, whose embeddings may be computed once; `alter` changes the
        clip's rows for this window.
        """
        frames = self.candidates if candidates_only else np.arange(len(self._frame_times_ns))
        earlier = max(0, self.end_ns - self._spec.length_ns) // self._spec.hop_ns
        end_ns = self.end_ns - self._spec.hop_ns * int(rng.integers(earlier + 1)) if earlier else self.end_ns
        stream = self._stream if alter is None else self._streamed(*alter(self._rows, self._times_ns, self._seen))
        return self._cut(frames, end_ns, rng, stream=stream)[0]

    def published_draw(self, rng: np.random.Generator) -> ClipWindow:
        """Draw like the authors' loader, for comparison with published figures.

        Frames are ordered by the last digit of their names (ties by name), each of 8 or 32 equal consecutive segments
        gives one random item, gaze rows are drawn independently of eye rows, and columns 33 to 39 are the sheet's.
        """
        names = self.clip.frame_names
        order = np.array(sorted(range(len(names)), key=lambda at: (_last_digit(names[at]), names[at])), np.int64)
        eye = _segment_draw(len(self._rows), EYE_SLOTS, rng)
        gaze = _segment_draw(len(self._rows), EYE_SLOTS, rng)
        frames = order[_segment_draw(len(names), FACE_SLOTS, rng)]
        faces, eyes = np.ones(FACE_SLOTS, np.bool_), np.ones(EYE_SLOTS, np.bool_)
        return ClipWindow(frames, self._rows[eye], self._rows[gaze, GAZE_POINT], faces, covered_eye=eyes)

    def _streamed(self, rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_]) -> EyeStream:
        stream = EyeStream(max(len(rows), 2 * int(self.end_ns * self._rate_hz * 1e-9), 1), self._rate_hz, self._events)
        stream.extend(rows, times_ns, seen)
        return stream

    def _cut(
        self,
        frames: NDArray[np.int64],
        end_ns: int,
        rng: np.random.Generator | None = None,
        *,
        stream: EyeStream | None = None,
    ) -> tuple[ClipWindow, State]:
        """A window of the eye rows, or others, and these frames, and its state."""
        cut = cut_window(self._frame_times_ns[frames], stream or self._stream, end_ns, self._spec, rng=rng)
        chosen, eye = frames[cut.faces] if len(frames) else cut.faces, cut.eye
        return ClipWindow(
            chosen, eye.eye, eye.gaze, cut.face_covered, covered_eye=eye.covered, notes=eye.notes
        ), cut.state


def clip_window(clip: Clip, spec: WindowSpec, events: EventsRule = NEW_RULE) -> ClipWindow:
    """Cut a clip's deterministic window; DataError when its frames or its sheet can't be read."""
    return PreparedClip(clip, spec, events).window()


def load_faces(clip: Clip, frames: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Read frames, duplicates once, as network input: (n, 3, 112, 112) float32, B, G, R, in [0, 1].

    Raises:
        DataError: a frame can't be read.
    """
    images = {index: clip.frame(index) for index in sorted({int(index) for index in frames})}
    return stack_faces(images[int(index)] for index in frames)


def _last_digit(name: str) -> int:
    stem = os.path.splitext(name)[0]
    return int(stem[-1]) if stem and stem[-1] in "0123456789" else 0


def _segment_draw(count: int, segments: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One random item of each equal consecutive segment; the first `count % segments` hold one item more."""
    sizes = np.full(segments, count // segments, np.int64)
    sizes[: count % segments] += 1
    first = np.cumsum(sizes) - sizes
    drawn = first + (rng.random(segments) * sizes).astype(np.int64)
    return np.asarray(np.minimum(drawn, count - 1))  # fewer items than segments: repeat the last item


@dataclass(frozen=True)
class EventDifference:
    """One column, over all slots of all windows.

    Attributes:
        column: its key.
        same: share of slots with the same value within 0.5 px or ms, or 0.005 MCS.
        mean_difference: mean absolute difference.
        mean_published: mean absolute value in the sheets, for comparison.
        slots: number of slots.
    """

    column: str
    same: float
    mean_difference: float
    mean_published: float
    slots: int


def compare_events(
    clips: Sequence[Clip], spec: WindowSpec, events: EventsRule = NEW_RULE
) -> tuple[EventDifference, ...]:
    """Compare a causal rule with the sheets over windows of clips, by column; empty where none holds eye movements.

    Raises:
        DataError: a clip can't be read.
    """
    if not clips:
        return ()
    rules: tuple[EventsRule, ...] = (NEW_RULE if events == "published" else events, "published")
    causal, published = (
        np.concatenate([PreparedClip(clip, spec, rule).window().eye[:, EVENTS] for clip in clips]).astype(np.float64)
        for rule in rules
    )
    if not published[:, 0].any():
        return ()
    differences = []
    for at, column in enumerate(column_indices(EVENTS)):
        apart = np.abs(causal[:, at] - published[:, at])
        near = 0.0 if column == MOVEMENT_TYPE else 0.005 if "MCS" in COLUMN_KEYS[column] else 0.5
        same, mean, usual = (float(values.mean()) for values in (apart <= near, apart, np.abs(published[:, at])))
        differences.append(EventDifference(COLUMN_KEYS[column], same, mean, usual, slots=len(apart)))
    return tuple(differences)
