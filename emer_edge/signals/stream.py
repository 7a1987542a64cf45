"""A stream of eye rows in a ring, from which the eye half of any window can be cut, and which item fills which slot.

Live runs append rows as they arrive; recordings and clips append all of theirs. Both cut windows here, which is why a
replay gives the offline numbers.

A window ending at T is cut into equal slots, each open at its start and closed at its end. A slot takes one of its
items; a slot without an item takes its nearest neighbour's and counts as uncovered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import EVENTS, GAZE_POINT, MOVEMENT_TYPE, MovementType
from emer_edge.core.results import State
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS, NANOSECONDS, EventsRule, Pick, WindowSpec
from emer_edge.signals.events import CAUSAL_RULE, CausalRule, event_columns, movement_types

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


def nominal_rate_hz(times_ns: Sequence[int]) -> float:
    """Rate of samples taken at these times, in order; 0 with fewer than two.

    The mean step, gaps left out: the median alone would take a 120 Hz clock in whole milliseconds for 125 Hz.
    """
    steps = [after - before for before, after in pairwise(times_ns) if after > before]
    if not steps:
        return 0.0
    longest = 1.5 * median(steps)
    return 1e9 / fmean(each for each in steps if each <= longest)


def clip_times_ns(count: int, length_ns: int) -> Indices:
    """Give the items of a clip without times the times they stand for: item i of n at (i + 1) L / n.

    Returns:
        (count,) int64, nanoseconds after the start of the clip.
    """
    return (np.arange(1, count + 1, dtype=np.int64) * length_ns) // max(count, 1)


def hop_candidates(times_ns: Indices, origin_ns: int, spec: WindowSpec) -> Indices:
    """Choose the newest item of each hop: the faces that are encoded.

    Args:
        times_ns: (n,) ascending times of the usable faces.
        origin_ns: start of the lattice; hop j covers (origin + j hop, origin + (j + 1) hop].
        spec: the window.

    Returns:
        (m,) indices into `times_ns`, ascending.
    """
    if len(times_ns) == 0:
        return np.zeros(0, np.int64)
    hop = -((origin_ns - times_ns) // spec.hop_ns)  # ceiling: an item on the border belongs to the hop it ends
    last_of_hop = np.append(hop[1:] != hop[:-1], True)
    return np.flatnonzero(last_of_hop).astype(np.int64)


def face_slots(
    times_ns: Indices, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None
) -> tuple[Indices, Flags]:
    """Choose the candidate of each face slot.

    Args:
        times_ns: (n,) ascending times of the candidates.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random item of each slot instead (training).

    Returns:
        (8,) indices into `times_ns`, all -1 where the window holds no item; (8,) bool, whether the slot has its own.
    """
    return _slots(times_ns, end_ns, FACE_SLOTS, spec.face_slot_ns, pick=spec.pick, rng=rng)


def eye_slots(
    times_ns: Indices, seen: Flags, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None
) -> tuple[Indices, Flags]:
    """Choose the row of each eye slot.

    Args:
        times_ns: (n,) ascending times of the rows.
        seen: (n,) whether any eye was seen; a slot in which none was is not covered.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random row of each slot instead (training).

    Returns:
        (32,) indices into `times_ns`, all -1 where the window holds no row; (32,) bool, whether the slot is covered.
    """
    index, _ = _slots(times_ns, end_ns, EYE_SLOTS, spec.eye_slot_ns, pick=spec.pick, rng=rng)
    first, last = _bounds(times_ns, end_ns, EYE_SLOTS, spec.eye_slot_ns)
    total = np.concatenate(([0], np.cumsum(seen)))
    return index, total[last] > total[first]


def _bounds(times_ns: Indices, end_ns: int, slots: int, slot_ns: int) -> tuple[Indices, Indices]:
    edges = end_ns - slot_ns * np.arange(slots, -1, -1, dtype=np.int64)
    position = np.searchsorted(times_ns, edges, side="right").astype(np.int64)
    return position[:-1], position[1:]


def _slots(
    times_ns: Indices, end_ns: int, slots: int, slot_ns: int, pick: Pick, rng: np.random.Generator | None
) -> tuple[Indices, Flags]:
    first, last = _bounds(times_ns, end_ns, slots, slot_ns)
    filled = last > first
    if rng is not None:
        index = first + (rng.random(slots) * (last - first)).astype(np.int64)
    elif pick == "newest":
        index = last - 1
    else:
        index = (first + last - 1) // 2
    if not filled.any():
        return np.full(slots, -1, np.int64), filled
    if not filled.all():
        own = np.flatnonzero(filled)
        distance = np.abs(np.arange(slots)[:, None] - own[None, :])
        index = index[own[distance.argmin(axis=1)]]  # a tie goes to the earlier slot
    return index, filled


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
        index, covered = eye_slots(times_ns, seen, end_ns, spec, rng=rng)
        if index[0] < 0:
            return self._empty()
        eye = self._rows[order[index]]
        if self._events == "causal":
            rows = self._rows[order]
            kind = self._movement_types((self._count, end_ns, spec.length_ns), rows, times_ns, seen)
            eye[:, EVENTS] = event_columns(rows, times_ns, seen, kind, chosen=index)
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
