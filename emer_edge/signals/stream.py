"""A stream of eye rows in a ring, from which the eye half of any window can be cut.

Live runs append rows as they arrive; recordings and clips append all of theirs. Both cut windows here, which is why a
replay gives the offline numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.signals.events import CAUSAL_RULE, CausalRule, event_columns, movement_types
from emer_edge.signals.slots import eye_slots, face_slots
from emer_edge.spec.columns import EVENTS, GAZE_POINT, MOVEMENT_TYPE, MovementType
from emer_edge.spec.results import State
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, NANOSECONDS, EventsRule, WindowSpec

__all__ = ["CutWindow", "EyeStream", "EyeWindow", "cut_window"]

_GAP_PERIODS: Final = 3  # fillers start three periods after the last row: one late or lost row is no gap
_BLANK: Final = np.zeros(EYE_COLUMN_COUNT, np.float32)
_BLANK[MOVEMENT_TYPE] = MovementType.EYES_NOT_FOUND


@dataclass(frozen=True, slots=True)
class EyeWindow:
    """The eye half of a window.

    Attributes:
        eye: (32, 39) float32, the 39 columns of the chosen rows.
        gaze: (32, 2) float32, gaze point X, Y of the same rows in display pixels.
        covered: (32,) bool.
    """

    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    covered: NDArray[np.bool_]


class EyeStream:
    """A ring of eye rows, whose eye movements are worked out window by window.

    Args:
        capacity: rows kept; older ones are overwritten. Twice the rows of a window leaves room for a silence.
        rate_hz: nominal rate; gaps are filled with EyesNotFound rows at this rate. 0 means a clip without times,
            which has no gaps.
        events: `causal` computes columns 33 to 39, `published` keeps them as appended.
        rule: constants of the causal rule.

    Attributes:
        out_of_order: rows refused because an equal or later one came before.
    """

    def __init__(
        self, capacity: int, rate_hz: float, events: EventsRule = "causal", rule: CausalRule = CAUSAL_RULE
    ) -> None:
        self._capacity = capacity
        self._period_ns = round(NANOSECONDS / rate_hz) if rate_hz > 0 else 0
        self._events = events
        self._rule = rule
        self._rows = np.zeros((capacity, EYE_COLUMN_COUNT), np.float32)
        self._times_ns = np.zeros(capacity, np.int64)
        self._seen = np.zeros(capacity, np.bool_)
        self._count = 0
        self._last_ns = -1
        self._types: tuple[tuple[int, int, int], NDArray[np.int64]] | None = None  # of the window cut last
        self.out_of_order = 0

    @property
    def count(self) -> int:
        """Rows appended so far, fillers included."""
        return self._count

    @property
    def newest_ns(self) -> int | None:
        """Time of the newest row, or None before the first."""
        return self._last_ns if self._count else None

    def append(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> None:
        """Add one row; fill the gap before it; refuse and count a row that is not newer than the last."""
        if self._count and time_ns <= self._last_ns:
            self.out_of_order += 1
            return
        self._fill_until(time_ns)
        self._push(row, time_ns, seen)

    def extend(self, rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
        """Add many rows in order: (n, 39) float32, (n,) int64, (n,) bool."""
        for row, time_ns, is_seen in zip(rows, times_ns.tolist(), seen.tolist(), strict=True):
            self.append(row, time_ns, is_seen)

    def window(self, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None) -> EyeWindow:
        """Cut the eye half of the window that ends at `end_ns`; rows after it are not used.

        Args:
            end_ns: end of the window.
            spec: the window.
            rng: draw a random row of each slot instead of the one that `spec.pick` names (training).

        Returns:
            The window; all zeros and nothing covered when the stream holds no row in it.
        """
        if self._count == 0:
            return self._empty()
        kept = self._count, self._last_ns
        self._fill_until(end_ns + 1)  # a silence that reaches the window's end, taken back below: late rows may come
        try:
            return self._cut(end_ns, spec, rng)
        finally:
            self._count, self._last_ns = kept

    def _cut(self, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None) -> EyeWindow:
        oldest = max(0, self._count - self._capacity)
        order = np.arange(oldest, self._count) % self._capacity
        times_ns = self._times_ns[order]
        inside = slice(*np.searchsorted(times_ns, (end_ns - spec.length_ns, end_ns), side="right").tolist())
        order, times_ns = order[inside], times_ns[inside]
        seen = self._seen[order]
        index, covered = eye_slots(times_ns, seen, end_ns, spec, rng)
        if index[0] < 0:
            return self._empty()
        eye = self._rows[order[index]]
        if self._events == "causal":
            rows = self._rows[order]
            kind = self._movement_types((self._count, end_ns, spec.length_ns), rows, times_ns, seen)
            eye[:, EVENTS] = event_columns(rows, times_ns, seen, kind, index)
        return EyeWindow(eye, eye[:, GAZE_POINT].copy(), covered)

    def _movement_types(
        self,
        window: tuple[int, int, int],
        rows: NDArray[np.float32],
        times_ns: NDArray[np.int64],
        seen: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Types of the window's rows; training draws from the same window again and again."""
        if self._types is None or self._types[0] != window:
            self._types = window, movement_types(rows, times_ns, seen, self._rule)
        return self._types[1]

    def _fill_until(self, time_ns: int) -> None:
        if not self._period_ns or not self._count:
            return
        # Fillers hang on the row before the gap alone, so a gap looks the same while it lasts and afterwards.
        start_ns = self._last_ns
        silent = (time_ns - 1 - start_ns) // self._period_ns
        first = max(_GAP_PERIODS, silent - self._capacity + 1)  # older ones would only be overwritten
        for period in range(first, silent + 1):
            self._push(_BLANK, start_ns + period * self._period_ns, False)

    def _push(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> None:
        at = self._count % self._capacity
        self._rows[at], self._times_ns[at], self._seen[at] = row, time_ns, seen
        self._count += 1
        self._last_ns = time_ns

    @staticmethod
    def _empty() -> EyeWindow:
        return EyeWindow(
            np.zeros((EYE_SLOTS, EYE_COLUMN_COUNT), np.float32),
            np.zeros((EYE_SLOTS, 2), np.float32),
            np.zeros(EYE_SLOTS, np.bool_),
        )


@dataclass(frozen=True, slots=True)
class CutWindow:
    """Both halves of a window.

    Attributes:
        faces: (8,) int64, the candidate of each face slot, all -1 where the window holds none.
        face_covered: (8,) bool.
        eye: the eye half.
        state: `ok`, `no_face` or `no_gaze`, by what is covered.
    """

    faces: NDArray[np.int64]
    face_covered: NDArray[np.bool_]
    eye: EyeWindow
    state: State


def cut_window(
    times_ns: NDArray[np.int64],
    eyes: EyeStream,
    end_ns: int,
    spec: WindowSpec,
    *,
    rng: np.random.Generator | None = None,
) -> CutWindow:
    """Cut the window that ends at `end_ns`: that of a live run, of its replay, and of a clip.

    Args:
        times_ns: (n,) ascending times of the faces' candidates.
        eyes: the eye rows.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random item of each slot instead (training).
    """
    faces, face_covered = face_slots(times_ns, end_ns, spec, rng)
    eye = eyes.window(end_ns, spec, rng)
    return CutWindow(faces, face_covered, eye, spec.coverage(int(face_covered.sum()), int(eye.covered.sum())))
