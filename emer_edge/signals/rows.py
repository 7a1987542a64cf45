"""Rows of the 39 columns from a tracker's samples, a ring of them, and the windows cut from it and from faces.

Columns 33 to 39 describe eye movements, which need history: the window fills them by `emer_edge.signals.events`.

Live runs append rows as they arrive; recordings and clips append all of theirs. All cut their windows here, so a replay
gives the offline numbers. A window ending at T has equal slots, each open at its start and closed at its end. A slot
takes one of its items; a slot without an item takes its nearest neighbour's and counts as uncovered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import (
    COLUMN_KEYS,
    DIRECTION,
    EVENTS,
    GAZE_MM,
    GAZE_POINT,
    GAZE_PX,
    POSITION,
    PUPILS,
    column_indices,
)
from emer_edge.core.results import State
from emer_edge.core.samples import MISSING_2, Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS, NANOSECONDS, NEW_RULE, EventsRule, WindowSpec
from emer_edge.signals.events import Movements, event_columns, movements
from emer_edge.signals.no_eyes import BLANK_ROW
from emer_edge.signals.rays import Flags, Indices
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ

_BLANK_EYE: Final = EyeReading()
_NO_EVENT: Final = (math.nan,) * len(column_indices(EVENTS))
_Point = tuple[float, float]


def raw_rows(samples: Sequence[TrackerSample], display: Display, stimulus: StimulusRect) -> NDArray[np.float64]:
    """Lay samples out in columns 1 to 32, missing cells as NaN.

    Gaze in pixels and in mm are derived from each other by the display's size, the direction from gaze point and the
    eye's position, and a missing gaze point from position and direction; the combined gaze point is the mean of the
    valid eyes. An invalid eye is blank, as in a Tobii export.

    Returns:
        (n, 39) float64; columns 33 to 39 are NaN.
    """
    return np.array([_cells(each, display, stimulus) for each in samples], np.float64).reshape(-1, EYE_COLUMN_COUNT)


def _cells(sample: TrackerSample, display: Display, stimulus: StimulusRect) -> tuple[float, ...]:
    left = sample.left if sample.left.valid else _BLANK_EYE
    right = sample.right if sample.right.valid else _BLANK_EYE
    (left_px, left_mm, left_ray), (right_px, right_mm, right_ray) = _filled(left, display), _filled(right, display)
    mean_px = (left_px[0] + right_px[0]) / 2, (left_px[1] + right_px[1]) / 2
    combined = left_px if math.isnan(right_px[0]) else right_px if math.isnan(left_px[0]) else mean_px
    return (
        *combined, *left_px, *right_px, *left_ray, *right_ray, left.pupil_mm, right.pupil_mm,
        float(left.valid), float(right.valid), *left.position_mm, *right.position_mm, *left_mm, *right_mm,
        *_mcs(combined, stimulus), *_mcs(left_px, stimulus), *_mcs(right_px, stimulus), *_NO_EVENT,
    )  # fmt: skip


def eye_reading(row: Sequence[float], eye: int, valid: bool) -> EyeReading:
    """An eye (0 left, 1 right) of a row of 39 cells, the inverse of `raw_rows`."""
    gaze_px, gaze_mm, direction, position = (row[pair[eye]] for pair in (GAZE_PX, GAZE_MM, DIRECTION, POSITION))
    (gaze_x, gaze_y), (x_mm, y_mm) = gaze_px, gaze_mm
    (ray_x, ray_y, ray_z), (x, y, z) = direction, position
    pupil_mm = row[PUPILS][eye]
    return EyeReading((gaze_x, gaze_y), (x_mm, y_mm), (ray_x, ray_y, ray_z), (x, y, z), pupil_mm=pupil_mm, valid=valid)


def network_rows(cells: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, 39) float32 for the network, from the cells of `raw_rows`: missing ones are 0."""
    return np.where(np.isfinite(cells), cells, 0.0).astype(np.float32)


def unfilled_columns(rows: NDArray[np.float64]) -> tuple[str, ...]:
    """Keys of the columns that no row of (n, 39) from `raw_rows` fills, but for 33 to 39, which are computed."""
    empty: NDArray[np.bool_] = np.all(np.isnan(rows), axis=0)
    empty[EVENTS] = False
    return tuple(key for key, missing in zip(COLUMN_KEYS, empty, strict=True) if missing)


def _filled(eye: EyeReading, display: Display) -> tuple[_Point, _Point, tuple[float, float, float]]:
    """An eye's gaze in pixels and in mm, and its direction, what is missing derived."""
    gaze_px, gaze_mm, direction = eye.gaze_px, eye.gaze_mm, eye.direction
    if not eye.valid or not (math.isnan(gaze_px[0]) or math.isnan(gaze_mm[0]) or math.isnan(direction[0])):
        return gaze_px, gaze_mm, direction
    scale_x, scale_y = display.width_mm / display.width_px, display.height_mm / display.height_px
    if math.isnan(gaze_px[0]) and math.isnan(gaze_mm[0]):
        gaze_mm = _met_display(eye)
    if math.isnan(gaze_px[0]) and not math.isnan(gaze_mm[0]):
        gaze_px = (gaze_mm[0] / scale_x, gaze_mm[1] / scale_y)
    elif math.isnan(gaze_mm[0]) and not math.isnan(gaze_px[0]):
        gaze_mm = (gaze_px[0] * scale_x, gaze_px[1] * scale_y)
    if math.isnan(direction[0]) and not math.isnan(gaze_mm[0]) and not math.isnan(eye.position_mm[0]):
        x, y, z = eye.position_mm
        ray = (gaze_mm[0] - x, gaze_mm[1] - y, -z)
        length = math.hypot(*ray)
        if length > 0:
            direction = (ray[0] / length, ray[1] / length, ray[2] / length)
    return gaze_px, gaze_mm, direction


def _met_display(eye: EyeReading) -> _Point:
    """Where the gaze direction meets the display, the plane z = 0; missing where it does not."""
    (x, y, z), (ray_x, ray_y, ray_z) = eye.position_mm, eye.direction
    if not z * ray_z < 0:  # looks away, along the display, or is not known
        return MISSING_2
    along = -z / ray_z
    return (x + along * ray_x, y + along * ray_y)


def _mcs(point_px: _Point, stimulus: StimulusRect) -> _Point:
    return ((point_px[0] - stimulus.left_px) / stimulus.width_px, (point_px[1] - stimulus.top_px) / stimulus.height_px)


def clip_times_ns(count: int, length_ns: int) -> Indices:
    """(count,) int64 times of a clip's items, nanoseconds after its start: item i of n at (i + 1) L / n."""
    return (np.arange(1, count + 1, dtype=np.int64) * length_ns) // max(count, 1)


def hop_candidates(times_ns: Indices, origin_ns: int, spec: WindowSpec) -> Indices:
    """Choose the newest item of each hop: the faces to encode.

    Args:
        times_ns: (n,) ascending times of the usable faces.
        origin_ns: start of the lattice; hop j covers (origin + j hop, origin + (j + 1) hop].
        spec: the window.

    Returns:
        (m,) ascending indices into `times_ns`.
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
        end_ns: end of the window; later items are not used.
        spec: the window.
        rng: draw a random item of each slot instead (training).

    Returns:
        (8,) indices into `times_ns`, all -1 where the window holds no item; (8,) bool, whether the slot has its own.
    """
    index, first, stop = _slots(times_ns, end_ns, FACE_SLOTS, spec, rng=rng)
    return index, stop > first


def eye_slots(
    times_ns: Indices, seen: Flags, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None
) -> tuple[Indices, Flags]:
    """Choose the row of each eye slot.

    Args:
        times_ns: (n,) ascending times of the rows.
        seen: (n,) whether any eye was seen; a slot in which none was is not covered.
        end_ns: end of the window; later rows are not used.
        spec: the window.
        rng: draw a random row of each slot instead (training).

    Returns:
        (32,) indices into `times_ns`, all -1 where the window holds no row; (32,) bool, whether the slot is covered.
    """
    index, first, stop = _slots(times_ns, end_ns, EYE_SLOTS, spec, rng=rng)
    total = np.concatenate(([0], np.cumsum(seen)))
    return index, total[stop] > total[first]


def _slots(
    times_ns: Indices, end_ns: int, count: int, spec: WindowSpec, rng: np.random.Generator | None
) -> tuple[Indices, Indices, Indices]:
    """(count,) the item of each slot, and the first of its items and the one after the last."""
    edges = end_ns - spec.length_ns // count * np.arange(count, -1, -1, dtype=np.int64)
    position = np.searchsorted(times_ns, edges, side="right").astype(np.int64)
    first, stop = position[:-1], position[1:]
    if rng is not None:
        index = first + (rng.random(count) * (stop - first)).astype(np.int64)
    elif spec.pick == "newest":
        index = stop - 1
    else:
        index = (first + stop - 1) // 2
    own = np.flatnonzero(stop > first)
    if not len(own):
        return np.full(count, -1, np.int64), first, stop
    distance = np.abs(np.arange(count)[:, None] - own[None, :])
    return index[own[distance.argmin(axis=1)]], first, stop  # a tie goes to the earlier slot


_GAP_PERIODS: Final = 3  # fillers start three periods after the last row: one late or lost row is no gap


@dataclass(frozen=True, slots=True)
class EyeWindow:
    """The eye half of a window.

    Attributes:
        eye: (32, 39) float32, the 39 columns of the chosen rows.
        gaze: (32, 2) float32, gaze point X, Y of the same rows in display pixels.
        covered: (32,) bool.
        notes: the tracker's noise, where rows were smoothed against it.
    """

    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    covered: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


class EyeStream:
    """A ring of eye rows, whose eye movements are computed window by window.

    Args:
        capacity: rows kept; older ones are overwritten. Twice the rows of a window leaves room for a silence. A stream
            faster than its nominal rate gets more, up to the fastest trackers' rate.
        rate_hz: nominal rate; gaps are filled with EyesNotFound rows at this rate. 0 means a clip without times,
            which has no gaps.
        events: the rule that computes columns 33 to 39; `published` keeps them as appended.

    Attributes:
        out_of_order: number of refused rows, those not newer than the last.
    """

    def __init__(self, capacity: int, rate_hz: float, events: EventsRule = NEW_RULE) -> None:
        self._capacity = capacity
        self._period_ns = round(NANOSECONDS / rate_hz) if rate_hz > 0 else 0
        self._capacity_ns = capacity * self._period_ns
        self._most = max(capacity, math.ceil(self._capacity_ns / NANOSECONDS * PLAUSIBLE_RATES_HZ[1]))
        self._events = events
        self._rows = np.zeros((capacity, EYE_COLUMN_COUNT), np.float32)
        self._times_ns = np.zeros(capacity, np.int64)
        self._seen = np.zeros(capacity, np.bool_)
        self._count, self._last_ns, self.out_of_order = 0, -1, 0
        self._moved: tuple[tuple[int, int, int], Movements] | None = None  # of the window cut last

    def clear(self) -> None:
        """Forget all rows; `out_of_order` counts on."""
        self._count, self._last_ns, self._moved = 0, -1, None

    @property
    def count(self) -> int:
        """Rows appended so far, fillers included."""
        return self._count

    @property
    def newest_ns(self) -> int | None:
        """Time of the newest row, None before the first."""
        return self._last_ns if self._count else None

    def append(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> None:
        """Add a row and fill the gap before it; refuse and count a row that is not newer than the last."""
        if self._count and time_ns <= self._last_ns:
            self.out_of_order += 1
            return
        self._fill_until(time_ns)
        if self._count >= self._capacity < self._most:
            self._grow(time_ns)
        self._push(row, time_ns, seen)

    def extend(self, rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
        """Add many rows in order: (n, 39) float32, (n,) int64, (n,) bool."""
        newest_ns = np.maximum.accumulate(np.concatenate(([self._last_ns], times_ns)))[:-1]
        alone = times_ns <= newest_ns  # rows that `append` refuses, or fills a gap before
        if self._period_ns:
            alone |= times_ns - 1 - newest_ns >= _GAP_PERIODS * self._period_ns
        alone[:1] |= not self._count
        at = 0
        for stop in [*np.flatnonzero(alone).tolist(), len(rows)]:
            while at < stop and not self._count >= self._capacity < self._most:
                begin = self._count % self._capacity
                fit = min(stop - at, self._capacity - begin)
                part, new = slice(begin, begin + fit), slice(at, at + fit)
                self._rows[part], self._times_ns[part], self._seen[part] = rows[new], times_ns[new], seen[new]
                at, self._count, self._last_ns = at + fit, self._count + fit, int(times_ns[at + fit - 1])
            for each in range(at, min(stop + 1, len(rows))):
                self.append(rows[each], int(times_ns[each]), bool(seen[each]))
            at = stop + 1

    def window(self, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None) -> EyeWindow:
        """Cut the eye half of the window that ends at `end_ns`; later rows are not used.

        Args:
            end_ns: end of the window.
            spec: the window.
            rng: draw a random row of each slot instead of that of `spec.pick` (training).

        Returns:
            The window; all zeros and uncovered when the stream holds no row in it.
        """
        kept = self._count, self._last_ns
        self._fill_until(end_ns + 1)  # fills a silence at the end, undone below: late rows may come
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
        eye = self._rows[order[index]] if index[0] >= 0 else np.zeros((EYE_SLOTS, EYE_COLUMN_COUNT), np.float32)
        if index[0] < 0 or self._events == "published":
            return EyeWindow(eye, eye[:, GAZE_POINT].copy(), covered)
        rows, window = self._rows[order], (self._count, end_ns, spec.length_ns)
        if self._moved is None or self._moved[0] != window:  # training draws from the same window repeatedly
            self._moved = window, movements(rows, times_ns, seen, self._events)
        eye[:, EVENTS] = event_columns(rows, times_ns, seen, self._moved[1].kind, chosen=index)
        return EyeWindow(eye, eye[:, GAZE_POINT].copy(), covered, self._moved[1].notes)

    def _fill_until(self, time_ns: int) -> None:
        if not self._period_ns or not self._count:
            return
        # Fillers depend only on the row before the gap, so a gap looks the same while it lasts and afterwards.
        silent = (time_ns - 1 - self._last_ns) // self._period_ns
        first = max(_GAP_PERIODS, silent - self._capacity + 1)  # older ones would be overwritten
        periods = np.arange(first, silent + 1, dtype=np.int64)
        if len(periods):
            at = (self._count + np.arange(len(periods))) % self._capacity
            self._rows[at], self._seen[at] = BLANK_ROW, False
            self._times_ns[at] = self._last_ns + periods * self._period_ns
            self._count += len(periods)
            self._last_ns = int(self._times_ns[at[-1]])

    def _grow(self, time_ns: int) -> None:
        """Double the capacity where what is kept spans less than half of the time it is meant for."""
        if time_ns - int(self._times_ns[self._count % self._capacity]) >= self._capacity_ns // 2:
            return
        self._rows = np.concatenate((self._rows, self._rows))  # row i lies at i modulo the capacity: one copy is right
        self._seen = np.concatenate((self._seen, self._seen))
        self._times_ns = np.concatenate((self._times_ns, self._times_ns))
        older = np.arange(self._count - 2 * self._capacity, self._count - self._capacity)
        self._capacity *= 2
        self._times_ns[older % self._capacity] = np.iinfo(np.int64).min  # the other: no window holds it

    def _push(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> None:
        at = self._count % self._capacity
        self._rows[at], self._times_ns[at], self._seen[at] = row, time_ns, seen
        self._count += 1
        self._last_ns = time_ns


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
    """Cut the window that ends at `end_ns`, of a live run, its replay, or a clip.

    Args:
        times_ns: (n,) ascending times of the face candidates.
        eyes: the eye rows.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random item of each slot instead (training).
    """
    faces, face_covered = face_slots(times_ns, end_ns, spec, rng)
    eye = eyes.window(end_ns, spec, rng)
    return CutWindow(faces, face_covered, eye, spec.coverage(int(face_covered.sum()), int(eye.covered.sum())))
