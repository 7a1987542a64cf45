"""Causal eye movements of a window: columns 33 to 39 as a live stream can know them.

Tobii's I-VT filter runs over a finished recording and writes an event's whole duration and centroid on all its rows. A
live stream knows neither the end of an event nor the recording's start. The causal rule runs the same filter over the
rows of one window, so that a result waits for nothing: 30 degrees a second over 20 ms, gaps of an eye under 75 ms
filled, fixations under 75 ms and half a degree apart merged, those under 60 ms discarded (Olsen, "The Tobii I-VT
Fixation Filter", 2012). It writes the elapsed duration, the running centroid and an index from the window's start.

At the end of the window, the velocity of a row younger than 10 ms is that before it instead of around it, and an
unfinished event is kept whatever its length. Rows older than `SETTLE_NS` have the type that they would have in the
finished recording, except the window's first rows and rows whose merge waits for the next fixation.

Where rows hold gaze directions (the tracker gives them, or eye positions to derive them from) the angle between two
rays is 2 asin(|a - b| / 2), exact for small angles where the arc cosine of a float32 is not. Elsewhere it is taken on
the display, from an assumed distance: 2 atan(mm / 2 distance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import (
    DIRECTION,
    DISTANCE,
    GAZE_MM,
    GAZE_POINT,
    GAZE_POINT_MCS,
    GAZE_PX,
    MovementType,
    column_indices,
)

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


_SACCADE_DEG_S: Final = 30.0  # rows at or above this angular velocity are saccades
_VELOCITY_WINDOW_NS: Final = 20_000_000  # span of the velocity, around the row
_FILL_GAP_NS: Final = 75_000_000  # shorter losses of an eye are filled in
_MERGE_GAP_NS: Final = 75_000_000  # fixations no farther apart than this and `_MERGE_DEG` are one ...
_MERGE_DEG: Final = 0.5
_MERGE_DEG_S: Final = 35.0  # ... but a row between them that moves faster keeps its type
_SHORTEST_FIXATION_NS: Final = 60_000_000  # shorter fixations are unclassified
_MM_PER_PX: Final = 527.0 / 1920.0  # of a display, where rows hold no gaze in millimetres
VIEWING_DISTANCE_MM: Final = 650.0
"""Assumed where a tracker gives no eye position."""

SETTLE_NS: Final = max(_FILL_GAP_NS, _MERGE_GAP_NS) + _SHORTEST_FIXATION_NS + _VELOCITY_WINDOW_NS // 2
"""Age at which a row has its final type, except for merges: a gap may close, then a fixation may prove short."""

_UNCLASSIFIED, _FIXATION, _SACCADE, _LOST = (int(movement) for movement in MovementType)
_CENTROID: Final = column_indices(GAZE_POINT, GAZE_POINT_MCS)  # of columns 36 to 39
_TOLERANCE: Final = 1.01  # steps of a clock in whole milliseconds still count three samples into 20 ms at 120 Hz


@dataclass(frozen=True, eq=False, slots=True)
class _Rays:
    """The rays of n rows.

    Attributes:
        valid: (n,) whether the row has a gaze point, its own or a filled one.
        direction: (n, 3) unit vectors, NaN where unknown.
        point_mm: (n, 2) gaze point on the display.
        distance_mm: (n,) from the eyes to the display.
    """

    valid: Flags
    direction: Floats
    point_mm: Floats
    distance_mm: Floats

    def means(self, starts: Indices, stops: Indices) -> _Rays:
        """The mean ray of each run of rows, starts to stops (excluded); no run is empty."""
        lengths = (stops - starts)[:, None]
        edges = np.stack([starts, stops], axis=1).ravel()

        def mean(values: Floats) -> Floats:
            summed = np.add.reduceat(np.append(values, np.zeros((1, values.shape[1])), axis=0), edges, axis=0)[::2]
            return np.asarray(summed / lengths)

        distance_mm = mean(self.distance_mm[:, None])[:, 0]
        return _Rays(np.ones(len(starts), np.bool_), _units(mean(self.direction)), mean(self.point_mm), distance_mm)


def _gaze_rays(rows: NDArray[np.float32], times_ns: Indices, seen: Flags) -> _Rays:
    """The rays of a window's rows: the mean of the visible eyes, short losses of an eye filled in a straight line."""
    cells = rows.astype(np.float64)
    points, directions, known = [], [], []
    for gaze_px, gaze_mm, direction in zip(GAZE_PX, GAZE_MM, DIRECTION, strict=True):
        in_mm = cells[:, gaze_mm].any(axis=1, keepdims=True)
        point = np.where(in_mm, cells[:, gaze_mm], cells[:, gaze_px] * _MM_PER_PX)
        points.append(point)
        directions.append(np.where(cells[:, direction].any(axis=1, keepdims=True), cells[:, direction], np.nan))
        known.append(seen & point.any(axis=1))
    combined = seen & ~(known[0] | known[1])  # rows that hold the combined gaze point alone
    points[0][combined] = cells[combined, GAZE_POINT] * _MM_PER_PX
    known[0] = known[0] | combined
    elapsed = (times_ns - times_ns[0]).astype(np.float64)
    for eye in (0, 1):
        fill = _short_losses(known[eye], times_ns)
        if fill.any():
            for values in (points[eye], directions[eye]):
                sources = elapsed[known[eye]]
                filled = [np.interp(elapsed[fill], sources, axis[known[eye]]) for axis in values.T]
                values[fill] = np.stack(filled, axis=1)
            known[eye] = known[eye] | fill
    distances = cells[:, DISTANCE]
    near = np.where((distances > 0).any(axis=1), distances.sum(axis=1) / np.maximum(1, (distances > 0).sum(axis=1)), 0)
    point_mm, direction_of_eyes = _mean_of_eyes(points, known), _mean_of_eyes(directions, known)
    distance_mm = np.where(near > 0, near, VIEWING_DISTANCE_MM)
    return _Rays(known[0] | known[1], _units(direction_of_eyes), point_mm, distance_mm)


def _angles_deg(rays: _Rays, one: Indices, other: Indices) -> Floats:
    """(m,) angles between rows `one` and `other`, (m,) indices each."""
    chord = np.linalg.norm(rays.direction[one] - rays.direction[other], axis=1)
    by_direction = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    apart_mm = np.linalg.norm(rays.point_mm[one] - rays.point_mm[other], axis=1)
    by_display = 2 * np.arctan(apart_mm / (rays.distance_mm[one] + rays.distance_mm[other]))
    return np.asarray(np.degrees(np.where(np.isnan(by_direction), by_display, by_direction)))


def runs(values: NDArray[np.generic]) -> tuple[Indices, Indices]:
    """First rows of the runs of equal values, and the rows after their last."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])).astype(np.int64)
    return starts, np.append(starts[1:], len(values))


def _short_losses(known: Flags, times_ns: Indices) -> Flags:
    """Rows of losses between known rows that are shorter than the gap to fill, first to last lost row."""
    starts, stops = runs(known)
    short = ~known[starts] & (times_ns[stops - 1] - times_ns[starts] < _FILL_GAP_NS)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, stops - starts))


def _mean_of_eyes(eyes: list[Floats], known: list[Flags]) -> Floats:
    given = [one & ~np.isnan(values[:, 0]) for values, one in zip(eyes, known, strict=True)]
    total = sum(np.where(one[:, None], values, 0.0) for values, one in zip(eyes, given, strict=True))
    count = (given[0].astype(np.int64) + given[1])[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _units(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 0, vectors / np.where(lengths > 0, lengths, 1.0), np.nan))


def movement_types(rows: NDArray[np.float32], times_ns: Indices, seen: Flags) -> Indices:
    """Classify the rows of a window.

    Args:
        rows: (n, 39) columns 1 to 32 filled, missing cells 0.
        times_ns: (n,) ascending.
        seen: (n,) whether any eye was seen.

    Returns:
        (n,) int64, `MovementType`.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    # The mean step: gaps are filled at the nominal rate, and rows that arrive in bunches have no typical step.
    period_ns = float(times_ns[-1] - times_ns[0]) / (len(times_ns) - 1) if len(times_ns) > 1 else 1.0
    rays = _gaze_rays(rows, times_ns, seen)
    velocity = _velocities_deg_s(rays, times_ns, period_ns)
    kind = np.where(velocity >= _SACCADE_DEG_S, _SACCADE, _FIXATION)
    kind[np.isnan(velocity)] = _UNCLASSIFIED
    kind[~rays.valid] = _LOST
    _merge(kind, rays, velocity, times_ns)
    _discard(kind, times_ns, period_ns)
    return kind


def numbered_events(kind: Indices) -> tuple[Indices, Indices, Indices, Indices]:
    """Split (n,) movement types into events, the runs of one type.

    Returns:
        First rows of the events, the rows after their last, the number of each event among its type from 1, and the
        (n,) event of each row.
    """
    starts, stops = runs(kind)
    number = np.zeros(len(starts), np.int64)
    for movement in MovementType:
        of_type = kind[starts] == movement
        number[of_type] = np.arange(1, of_type.sum() + 1)
    return starts, stops, number, np.repeat(np.arange(len(starts)), stops - starts)


def event_columns(
    rows: NDArray[np.float32], times_ns: Indices, seen: Flags, kind: Indices, chosen: Indices
) -> NDArray[np.float32]:
    """Columns 33 to 39 of chosen rows of a window.

    Args:
        rows: (n, 39) the window's rows.
        times_ns: (n,) their times.
        seen: (n,) whether any eye was seen.
        kind: (n,) from `movement_types`.
        chosen: (m,) indices of rows.

    Returns:
        (m, 7) float32: type, milliseconds since the event began, its number among its type in this window, and the
        mean gaze point of a fixation so far in pixels and in MCS, 0 for other events.
    """
    starts, _, number, event = numbered_events(kind)
    columns = np.zeros((len(chosen), 7))
    first = starts[event[chosen]]
    columns[:, 0] = kind[chosen]
    columns[:, 1] = (times_ns[chosen] - times_ns[first]) * 1e-6
    columns[:, 2] = number[event[chosen]]
    terms = np.ones((len(rows), 5))  # gaze point in px and MCS, and 1 to count rows
    terms[:, :4] = rows[:, _CENTROID]
    terms[~seen] = 0.0  # filled gaps hold no gaze
    held = np.concatenate([np.zeros((1, 5)), np.cumsum(terms, axis=0)])
    summed = held[chosen + 1] - held[first]
    fixation = (kind[chosen] == _FIXATION) & (summed[:, 4] > 0)
    columns[fixation, 3:7] = summed[fixation, :4] / summed[fixation, 4:]
    return columns.astype(np.float32)


def _velocities_deg_s(rays: _Rays, times_ns: Indices, period_ns: float) -> Floats:
    """(n,) angular velocity, NaN where too few rows near the row are valid.

    The window has as many samples as Tobii's; its ends are the outermost valid rows inside.
    """
    count = len(times_ns)
    index = np.arange(count)
    samples = max(1, int(_VELOCITY_WINDOW_NS / period_ns * _TOLERANCE)) + 1
    first = np.clip(index - samples // 2, 0, max(0, count - samples))  # at the edges the window is moved, not cut
    last = np.minimum(first + samples - 1, count - 1)
    following = np.minimum.accumulate(np.where(rays.valid, index, count)[::-1])[::-1]
    preceding = np.maximum.accumulate(np.where(rays.valid, index, -1))
    alone = _short_islands(rays.valid, round(_VELOCITY_WINDOW_NS / period_ns))
    usable = rays.valid & ~alone
    velocity = np.full(count, np.nan)
    at = index[usable]
    start, stop = following[first[at]], preceding[last[at]]
    at, start, stop = at[stop > start], start[stop > start], stop[stop > start]
    # Rows that arrive in bunches have stamps too close together: n steps last n periods at least.
    lasting_ns = np.maximum((times_ns[stop] - times_ns[start]).astype(np.float64), (stop - start) * period_ns)
    velocity[at] = _angles_deg(rays, start, stop) / (lasting_ns * 1e-9)
    return velocity


def _short_islands(valid: Flags, longest: int) -> Flags:
    """Rows of runs no longer than `longest` between lost rows: too short for a velocity."""
    starts, stops = runs(valid)
    short = valid[starts] & (stops - starts <= longest)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, stops - starts))


def _merge(kind: Indices, rays: _Rays, velocity: Floats, times_ns: Indices) -> None:
    """Give slow rows between two close fixations to them."""
    starts, stops = _fixations(kind)
    near = np.flatnonzero(times_ns[starts[1:]] - times_ns[stops[:-1] - 1] <= _MERGE_GAP_NS)
    if not len(near):
        return
    centres = rays.means(starts, stops)
    for at in near[_angles_deg(centres, near, near + 1) <= _MERGE_DEG]:
        between = slice(stops[at], starts[at + 1])
        slow = ~(velocity[between] > _MERGE_DEG_S) & (kind[between] != _LOST)
        kind[between][slow] = _FIXATION


def _discard(kind: Indices, times_ns: Indices, period_ns: float) -> None:
    """Unclassify short fixations; one at the window's edge may be longer and stays."""
    starts, stops = _fixations(kind)
    short = times_ns[stops - 1] - times_ns[starts] + period_ns < _SHORTEST_FIXATION_NS
    short &= (starts > 0) & (stops < len(kind))
    for start, stop in zip(starts[short], stops[short], strict=True):
        kind[start:stop] = _UNCLASSIFIED


def _fixations(kind: Indices) -> tuple[Indices, Indices]:
    """First rows of the fixations, and the rows after their last."""
    edges = np.diff(np.concatenate(([False], kind == _FIXATION, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
