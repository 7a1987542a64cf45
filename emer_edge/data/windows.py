"""Clips as windows: which frames and which eye rows the network sees.

A clip is a recording that ends where its window ends. Clips without times stretch to the window's length, item i
of n at (i + 1) L / n; where a sheet has times they are kept and the frames are spread over the same span.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import COLUMN_KEYS, EVENTS, GAZE_POINT, MOVEMENT_TYPE, column_indices
from emer_edge.core.results import State
from emer_edge.core.window import EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.signals.stream import EyeStream, clip_times_ns, cut_window, hop_candidates, nominal_rate_hz

AlterRows = Callable[
    [NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]],
    tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]],
]
"""Rows (n, 39), their ascending times and whether an eye was seen, changed: new arrays, of another n perhaps."""


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """What the network sees of a clip.

    Attributes:
        frames: (8,) int64, indices of the clip's frames.
        eye: (32, 39) float32.
        gaze: (32, 2) float32, gaze point X, Y in display pixels.
        covered_face: (8,) bool, whether the slot has a frame of its own.
        covered_eye: (32,) bool, whether an eye was seen in the slot.
    """

    frames: NDArray[np.int64]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    covered_face: NDArray[np.bool_]
    covered_eye: NDArray[np.bool_]


class PreparedClip:
    """A clip whose times and eye movements are worked out, so that windows can be drawn from it thousands of times.

    Holds the eye rows (about 0.4 MB for an EMER clip) and no frames.

    Args:
        clip: the clip.
        spec: the window.
        events: how columns 33 to 39 are filled.
        profile: of the tracker whose rows are wanted instead of the sheet's.
        alter: what else happens to the rows; gaps that it leaves are filled as those of a live stream are. The window
            ends where it would without.

    Attributes:
        clip: the clip.
        end_ns: end of its window.
        candidates: (m,) int64, indices of the frames that a live run would encode: the newest of each hop.

    Raises:
        DataError: its frames or its eye sheet can't be read.
    """

    def __init__(
        self,
        clip: Clip,
        spec: WindowSpec,
        events: EventsRule = "causal",
        profile: TrackerProfile | None = None,
        alter: AlterRows | None = None,
    ) -> None:
        track = clip.eye()
        count = len(clip.frame_names)
        times_ns = track.times_ns if track.timed else clip_times_ns(len(track.rows), spec.length_ns)
        rows, seen = track.rows, track.seen
        if profile is not None:
            kept = profile.kept(times_ns)
            times_ns = times_ns[kept]
            rows, seen = profile.rows(rows[kept], seen[kept])
        self.clip = clip
        self.end_ns = int(times_ns[-1])
        self._spec = spec
        self._frame_times_ns = clip_times_ns(count, self.end_ns)
        self.candidates = hop_candidates(self._frame_times_ns, self.end_ns, spec)
        rate_hz = nominal_rate_hz(times_ns.tolist()) if track.timed or alter is not None else 0.0
        if alter is not None:
            rows, times_ns, seen = alter(rows, times_ns, seen)
        self._rows = rows
        capacity = max(len(rows), 2 * int(self.end_ns * rate_hz * 1e-9), 1)
        self._stream = EyeStream(capacity, rate_hz, events)
        self._stream.extend(rows, times_ns, seen)

    def window(self) -> ClipWindow:
        """The clip's window, the same every time: what bench, calibration and a live run of the clip see."""
        return self._cut(self.candidates, self.end_ns)[0]

    def live(self) -> list[ClipWindow]:
        """Cut the windows that a live run gives while it hops over the clip, oldest first.

        The run is under way when the clip begins, has seen nothing before it, and its lattice starts with the clip: a
        window for each hop up to the clip's end in which both coverage floors are met. They overlap, so they are no
        independent samples. None for a clip too short or too poorly covered.
        """
        spec = self._spec
        candidates = hop_candidates(self._frame_times_ns, 0, spec)
        windows = []
        for end_ns in range(spec.hop_ns, self.end_ns + 1, spec.hop_ns):
            window, state = self._cut(candidates[self._frame_times_ns[candidates] <= end_ns], end_ns)
            if state is State.OK:
                windows.append(window)
        return windows

    def draw(self, rng: np.random.Generator, *, candidates_only: bool = False) -> ClipWindow:
        """A random item of each slot, for training.

        Args:
            rng: source of the draw.
            candidates_only: draw faces from `candidates`, whose embeddings may be computed once, not from all frames.
        """
        frames = self.candidates if candidates_only else np.arange(len(self._frame_times_ns))
        return self._cut(frames, self.end_ns, rng)[0]

    def published_draw(self, rng: np.random.Generator) -> ClipWindow:
        """Draw as the authors' loader does, for comparison with published figures.

        Frames are ordered by the last digit of their names (ties in order of the names), each of 8 or 32 equal
        consecutive segments gives one random item, gaze rows are drawn independently of eye rows, and columns 33 to 39
        are the sheet's.
        """
        names = self.clip.frame_names
        order = np.array(sorted(range(len(names)), key=lambda at: (_last_digit(names[at]), names[at])), np.int64)
        eye = _segment_draw(len(self._rows), EYE_SLOTS, rng)
        gaze = _segment_draw(len(self._rows), EYE_SLOTS, rng)
        return ClipWindow(
            order[_segment_draw(len(names), FACE_SLOTS, rng)],
            self._rows[eye],
            self._rows[gaze, GAZE_POINT],
            np.ones(FACE_SLOTS, np.bool_),
            covered_eye=np.ones(EYE_SLOTS, np.bool_),
        )

    def _cut(
        self, frames: NDArray[np.int64], end_ns: int, rng: np.random.Generator | None = None
    ) -> tuple[ClipWindow, State]:
        """Cut a window from the eye rows and these frames; say what it covers."""
        cut = cut_window(self._frame_times_ns[frames], self._stream, end_ns, self._spec, rng=rng)
        window = ClipWindow(
            frames=frames[cut.faces] if len(frames) else cut.faces,
            eye=cut.eye.eye,
            gaze=cut.eye.gaze,
            covered_face=cut.face_covered,
            covered_eye=cut.eye.covered,
        )
        return window, cut.state


def clip_window(clip: Clip, spec: WindowSpec, events: EventsRule = "causal") -> ClipWindow:
    """Cut a clip's one deterministic window; DataError when its frames or its sheet can't be read."""
    return PreparedClip(clip, spec, events).window()


def load_faces(clip: Clip, frames: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Read frames as the network takes them.

    Returns:
        (n, 3, 112, 112) float32, B, G, R, in [0, 1]. A frame that is asked for twice is read once.

    Raises:
        DataError: a frame can't be read.
    """
    indices = [int(each) for each in frames]
    images = {index: clip.frame(index) for index in sorted(set(indices))}
    return stack_faces(images[index] for index in indices)


def stack_faces(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Turn (112, 112, 3) uint8 B, G, R crops into (n, 3, 112, 112) float32 in [0, 1]."""
    crops = [image.transpose(2, 0, 1) for image in images]
    if not crops:
        return np.zeros((0, 3, FACE_SIZE_PX, FACE_SIZE_PX), np.float32)
    faces: NDArray[np.float32] = np.stack(crops).astype(np.float32)
    faces /= np.float32(255.0)
    return faces


def _last_digit(name: str) -> int:
    stem = os.path.splitext(name)[0]
    return int(stem[-1]) if stem and stem[-1] in "0123456789" else 0


def _segment_draw(count: int, segments: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One random item of each equal consecutive segment; the first `count % segments` hold one item more."""
    sizes = np.full(segments, count // segments, np.int64)
    sizes[: count % segments] += 1
    first = np.cumsum(sizes) - sizes
    drawn = first + (rng.random(segments) * sizes).astype(np.int64)
    return np.asarray(np.minimum(drawn, count - 1))  # fewer items than segments: the last item stands in


@dataclass(frozen=True)
class EventDifference:
    """One column, over all slots of all windows.

    Attributes:
        column: its key.
        same: share of slots with the same value, to half of the last digit that people read: 0.5 px or ms, 0.005 MCS.
        mean_difference: mean absolute difference.
        mean_published: mean absolute value that the sheets hold, to compare with.
        slots: how many.
    """

    column: str
    same: float
    mean_difference: float
    mean_published: float
    slots: int


def compare_events(clips: Sequence[Clip], spec: WindowSpec) -> tuple[EventDifference, ...]:
    """Compare both rules over the windows of clips, column by column; empty where no sheet holds eye movements.

    Raises:
        DataError: a clip can't be read.
    """
    if not clips:
        return ()
    rules: tuple[EventsRule, ...] = ("causal", "published")
    causal, published = (
        np.concatenate([PreparedClip(clip, spec, rule).window().eye[:, EVENTS] for clip in clips]).astype(np.float64)
        for rule in rules
    )
    if not published[:, 0].any():
        return ()
    found = []
    for at, column in enumerate(column_indices(EVENTS)):
        apart = np.abs(causal[:, at] - published[:, at])
        near = 0.0 if column == MOVEMENT_TYPE else 0.005 if "MCS" in COLUMN_KEYS[column] else 0.5
        found.append(
            EventDifference(
                column=COLUMN_KEYS[column],
                same=float(np.mean(apart <= near)),
                mean_difference=float(apart.mean()),
                mean_published=float(np.abs(published[:, at]).mean()),
                slots=len(apart),
            )
        )
    return tuple(found)
