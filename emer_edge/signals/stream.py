"""A stream of eye rows in a ring, from which the eye half of any window can be cut.

Live runs append rows as they arrive; recordings and clips append all of theirs. Both cut windows here, which is why a
replay gives the offline numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.signals.events import CAUSAL_RULE, CausalRule, MovementClassifier
from emer_edge.signals.slots import eye_slots
from emer_edge.spec.columns import EVENTS, GAZE_POINT, MOVEMENT_TYPE, MovementType
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, NANOSECONDS, EventsRule, WindowSpec

__all__ = ["EyeStream", "EyeWindow"]

_TYPES: Final = len(MovementType)
_GAP_PERIODS: Final = 3  # fillers start three periods after the last row: one late or lost row is no gap
_CENTROID: Final = (0, 1, 26, 27)  # gaze point X, Y in display px and in MCS: the running sums behind columns 36 to 39
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


@dataclass(slots=True)
class _Cursor:
    """All of the stream's state beside its arrays, so that a look ahead can be taken back."""

    count: int
    last_ns: int
    last_type: int
    event_start: int
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]


class EyeStream:
    """A ring of eye rows with their running eye movements.

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
        self._classifier = MovementClassifier(rule)
        self._rows = np.zeros((capacity, EYE_COLUMN_COUNT), np.float32)
        self._times_ns = np.zeros(capacity, np.int64)
        self._seen = np.zeros(capacity, np.bool_)
        self._type = np.zeros(capacity, np.int64)
        self._event_start = np.zeros(capacity, np.int64)
        self._counts = np.zeros((capacity, _TYPES), np.int64)
        self._sums = np.zeros((capacity, len(_CENTROID)), np.float64)
        self._cursor = _Cursor(0, -1, -1, 0, np.zeros(_TYPES, np.int64), np.zeros(len(_CENTROID)))
        self.out_of_order = 0

    @property
    def count(self) -> int:
        """Rows appended so far, fillers included."""
        return self._cursor.count

    @property
    def newest_ns(self) -> int | None:
        """Time of the newest row, or None before the first."""
        return self._cursor.last_ns if self._cursor.count else None

    def append(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> None:
        """Add one row; fill the gap before it; refuse and count a row that is not newer than the last."""
        if self._cursor.count and time_ns <= self._cursor.last_ns:
            self.out_of_order += 1
            return
        self._fill_until(time_ns)
        kind = self._classifier.classify(row, time_ns, seen) if self._events == "causal" else 0
        self._push(row, time_ns, seen, int(kind))

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
        cursor = self._cursor
        if cursor.count == 0:
            return self._empty()
        kept = _Cursor(
            cursor.count, cursor.last_ns, cursor.last_type, cursor.event_start, cursor.counts.copy(), cursor.sums.copy()
        )
        self._fill_until(end_ns + 1)  # a silence that reaches the window's end, taken back below: late rows may come
        try:
            return self._cut(end_ns, spec, rng)
        finally:
            self._cursor = kept

    def _cut(self, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None) -> EyeWindow:
        oldest = max(0, self._cursor.count - self._capacity)
        order = np.arange(oldest, self._cursor.count) % self._capacity
        times_ns = self._times_ns[order]
        index, covered = eye_slots(times_ns, self._seen[order], end_ns, spec, rng)
        if index[0] < 0:
            return self._empty()
        first = oldest + int(np.searchsorted(times_ns, end_ns - spec.length_ns, side="right"))
        eye = self._rows[order[index]]
        if self._events == "causal":
            eye[:, EVENTS] = self._event_columns(oldest + index, first)
        return EyeWindow(eye, eye[:, GAZE_POINT].copy(), covered)

    def _event_columns(self, numbers: NDArray[np.int64], first: int) -> NDArray[np.float32]:
        """Columns 33 to 39 of the given rows, counted from row number `first`, the window's first."""
        at, origin = numbers % self._capacity, first % self._capacity
        kind = self._type[at]
        start = np.maximum(self._event_start[at], first)
        columns = np.zeros((len(numbers), 7), np.float64)
        columns[:, 0] = kind
        columns[:, 1] = (self._times_ns[at] - self._times_ns[start % self._capacity]) * 1e-6
        before = self._counts[origin].copy()
        before[self._type[origin]] -= 1
        columns[:, 2] = self._counts[at, kind] - before[kind]
        fixation = kind == MovementType.FIXATION
        first_rows = self._rows[(start % self._capacity)[:, None], _CENTROID]
        sums = self._sums[at] - self._sums[start % self._capacity] + first_rows
        columns[:, 3:7] = np.where(fixation[:, None], sums / (numbers - start + 1)[:, None], 0.0)
        return columns.astype(np.float32)

    def _fill_until(self, time_ns: int) -> None:
        cursor = self._cursor
        if not self._period_ns or not cursor.count:
            return
        # Fillers hang on the row before the gap alone, so a gap looks the same while it lasts and afterwards.
        silent = (time_ns - 1 - cursor.last_ns) // self._period_ns
        first = max(_GAP_PERIODS, silent - self._capacity + 1)  # older ones would only be overwritten
        start_ns = cursor.last_ns
        for period in range(first, silent + 1):
            self._push(_BLANK, start_ns + period * self._period_ns, False, MovementType.EYES_NOT_FOUND)

    def _push(self, row: NDArray[np.float32], time_ns: int, seen: bool, kind: int) -> None:
        cursor = self._cursor
        at = cursor.count % self._capacity
        self._rows[at], self._times_ns[at], self._seen[at] = row, time_ns, seen
        if self._events == "causal":
            if kind != cursor.last_type:
                cursor.last_type, cursor.event_start = kind, cursor.count
                cursor.counts[kind] += 1
            cursor.sums += row[list(_CENTROID)]
            self._type[at], self._event_start[at] = kind, cursor.event_start
            self._counts[at], self._sums[at] = cursor.counts, cursor.sums
        cursor.count += 1
        cursor.last_ns = time_ns

    @staticmethod
    def _empty() -> EyeWindow:
        return EyeWindow(
            np.zeros((EYE_SLOTS, EYE_COLUMN_COUNT), np.float32),
            np.zeros((EYE_SLOTS, 2), np.float32),
            np.zeros(EYE_SLOTS, np.bool_),
        )
