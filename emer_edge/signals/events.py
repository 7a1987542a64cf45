"""Eye movements of a window without looking past its end: columns 33 to 39 as a live stream can know them.

Tobii's I-VT filter runs over a finished recording and writes an event's whole duration and centroid on every row of it.
A live stream knows neither the end of an event nor the recording's start. The causal rule runs the same filter over the
rows of one window, up to its end and no further, so that a result waits for nothing: 30 degrees a second over 20 ms,
gaps of an eye under 75 ms filled, fixations under 75 ms and half a degree apart merged, those under 60 ms discarded
(Olsen, "The Tobii I-VT Fixation Filter", 2012). It writes the elapsed duration, the running centroid and an index
counted from the window's start.

What the end of the window costs: a row younger than 10 ms is judged by the velocity before it instead of around it, and
an event that still goes on is kept whatever its length; rows older than `CausalRule.settle_ns` have the type they would
have in the finished recording, except at the window's first rows and where a merge waits for the fixation that follows.

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
    GAZE_MM,
    GAZE_POINT,
    GAZE_POINT_MCS,
    GAZE_PX,
    POSITION,
    MovementType,
    column_indices,
)

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_DISTANCE: Final = [eye.stop - 1 for eye in POSITION]


@dataclass(frozen=True, eq=False, slots=True)
class Rays:
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

    def means(self, starts: Indices, stops: Indices) -> Rays:
        """The mean ray of each run of rows, starts to stops (excluded); no run is empty."""
        lengths = (stops - starts)[:, None]

        def mean(values: Floats) -> Floats:
            edges = np.stack([starts, stops], axis=1).ravel()
            summed = np.add.reduceat(np.append(values, np.zeros((1, values.shape[1])), axis=0), edges, axis=0)[::2]
            return np.asarray(summed / lengths)

        return Rays(
            np.ones(len(starts), np.bool_),
            _units(mean(self.direction)),
            mean(self.point_mm),
            mean(self.distance_mm[:, None])[:, 0],
        )


def gaze_rays(
    rows: NDArray[np.float32],
    times_ns: Indices,
    seen: Flags,
    fill_gap_ns: int,
    viewing_distance_mm: float,
    mm_per_px: float,
) -> Rays:
    """Work out the rays of a window's rows: the mean of the eyes that are seen, an eye lost shortly filled in.

    Args:
        rows: (n, 39) float32, missing cells 0.
        times_ns: (n,) ascending.
        seen: (n,) whether any eye was seen.
        fill_gap_ns: losses of an eye under this are filled in a straight line.
        viewing_distance_mm: where rows hold no eye position.
        mm_per_px: where rows hold no gaze point in millimetres.
    """
    cells = rows.astype(np.float64)
    points, directions, found = [], [], []
    for gaze_px, gaze_mm, direction in zip(GAZE_PX, GAZE_MM, DIRECTION, strict=True):
        point = _first_given(cells[:, gaze_mm], cells[:, gaze_px] * mm_per_px)
        ray = np.where(cells[:, direction].any(axis=1, keepdims=True), cells[:, direction], np.nan)
        points.append(point)
        directions.append(ray)
        found.append(seen & point.any(axis=1))
    combined = seen & ~(found[0] | found[1])  # rows that hold the combined gaze point alone
    points[0][combined] = cells[combined, GAZE_POINT] * mm_per_px
    found[0] = found[0] | combined
    for eye in (0, 1):
        fill = _short_losses(found[eye], times_ns, fill_gap_ns)
        if fill.any():
            for values in (points[eye], directions[eye]):
                values[fill] = _between(values, found[eye], fill, times_ns)
            found[eye] = found[eye] | fill
    distances = cells[:, _DISTANCE]
    near = np.where((distances > 0).any(axis=1), distances.sum(axis=1) / np.maximum(1, (distances > 0).sum(axis=1)), 0)
    return Rays(
        valid=found[0] | found[1],
        direction=_units(_mean_of_eyes(directions, found)),
        point_mm=_mean_of_eyes(points, found),
        distance_mm=np.where(near > 0, near, viewing_distance_mm),
    )


def angles_deg(rays: Rays, one: Indices, other: Indices) -> Floats:
    """(m,) angles between rows `one` and `other`, (m,) indices each."""
    chord = np.linalg.norm(rays.direction[one] - rays.direction[other], axis=1)
    by_direction = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    apart_mm = np.linalg.norm(rays.point_mm[one] - rays.point_mm[other], axis=1)
    by_display = 2 * np.arctan(apart_mm / (rays.distance_mm[one] + rays.distance_mm[other]))
    angle: Floats = np.degrees(np.where(np.isnan(by_direction), by_display, by_direction))
    return angle


def _first_given(one: Floats, other: Floats) -> Floats:
    return np.where(one.any(axis=1, keepdims=True), one, other)


def _short_losses(found: Flags, times_ns: Indices, fill_gap_ns: int) -> Flags:
    """Rows of losses that lie between found rows and last less than `fill_gap_ns`, first to last lost row."""
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    stops = np.append(starts[1:], len(found))
    short = ~found[starts] & (times_ns[stops - 1] - times_ns[starts] < fill_gap_ns)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, stops - starts))


def _between(values: Floats, found: Flags, fill: Flags, times_ns: Indices) -> Floats:
    at = (times_ns - times_ns[0]).astype(np.float64)
    return np.stack([np.interp(at[fill], at[found], axis[found]) for axis in values.T], axis=1)


def _mean_of_eyes(eyes: list[Floats], found: list[Flags]) -> Floats:
    known = [one & ~np.isnan(values[:, 0]) for values, one in zip(eyes, found, strict=True)]
    total = sum(np.where(one[:, None], values, 0.0) for values, one in zip(eyes, known, strict=True))
    count = (known[0].astype(np.int64) + known[1])[:, None]
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _units(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Floats = np.where(lengths > 0, vectors / np.where(lengths > 0, lengths, 1.0), np.nan)
    return units


_UNCLASSIFIED, _FIXATION, _SACCADE, _LOST = (int(each) for each in MovementType)
_CENTROID: Final = column_indices(GAZE_POINT, GAZE_POINT_MCS)  # behind columns 36 to 39
_TOLERANCE: Final = 1.01  # steps of a clock in whole milliseconds still count three samples into 20 ms at 120 Hz


@dataclass(frozen=True)
class CausalRule:
    """Constants of the causal I-VT.

    Attributes:
        saccade_deg_s: rows at or above this angular velocity are saccades.
        velocity_window_ns: span over which the velocity is taken, around the row.
        fill_gap_ns: an eye lost for less is filled in.
        merge_gap_ns, merge_deg: fixations no farther apart than both are one, ...
        merge_deg_s: ... but a row between them that moves faster stays what it is.
        shortest_fixation_ns: fixations that ended sooner are unclassified.
        viewing_distance_mm: used where a tracker gives no eye position.
        mm_per_px: size of a display pixel, used where rows hold no gaze in millimetres.
    """

    saccade_deg_s: float = 30.0
    velocity_window_ns: int = 20_000_000
    fill_gap_ns: int = 75_000_000
    merge_gap_ns: int = 75_000_000
    merge_deg: float = 0.5
    merge_deg_s: float = 35.0
    shortest_fixation_ns: int = 60_000_000
    viewing_distance_mm: float = 650.0
    mm_per_px: float = 527.0 / 1920.0

    @property
    def settle_ns(self) -> int:
        """Age at which a row has its final type but for merges: a gap may close, then a fixation may prove short."""
        return max(self.fill_gap_ns, self.merge_gap_ns) + self.shortest_fixation_ns + self.velocity_window_ns // 2


CAUSAL_RULE: Final = CausalRule()


def movement_types(
    rows: NDArray[np.float32], times_ns: Indices, seen: Flags, rule: CausalRule = CAUSAL_RULE
) -> Indices:
    """Name the movement type of each row of a window.

    Args:
        rows: (n, 39) columns 1 to 32 filled.
        times_ns: (n,) ascending.
        seen: (n,) whether any eye was seen.
        rule: constants.

    Returns:
        (n,) int64, `MovementType`.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    period_ns = _period_ns(times_ns)
    rays = gaze_rays(
        rows, times_ns, seen, rule.fill_gap_ns, viewing_distance_mm=rule.viewing_distance_mm, mm_per_px=rule.mm_per_px
    )
    velocity = _velocities_deg_s(rays, times_ns, period_ns, rule)
    kind = np.where(velocity >= rule.saccade_deg_s, _SACCADE, _FIXATION)
    kind[np.isnan(velocity)] = _UNCLASSIFIED
    kind[~rays.valid] = _LOST
    _merge(kind, rays, velocity, times_ns, rule=rule)
    _discard(kind, times_ns, period_ns, rule)
    return kind


def event_columns(
    rows: NDArray[np.float32], times_ns: Indices, seen: Flags, kind: Indices, chosen: Indices
) -> NDArray[np.float32]:
    """Columns 33 to 39 of chosen rows of a window.

    Args:
        rows: (n, 39) the window's rows.
        times_ns: (n,) their times.
        seen: (n,) whether any eye was seen.
        kind: (n,) from `movement_types`.
        chosen: (m,) which rows.

    Returns:
        (m, 7) float32: type, milliseconds since the event began, its number among its type in this window, and the
        mean gaze point of a fixation so far in pixels and in MCS, 0 for other events.
    """
    starts = _run_starts(kind)
    event = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(kind))))
    number = np.zeros(len(starts), np.int64)
    for each in MovementType:
        of_type = kind[starts] == each
        number[of_type] = np.arange(1, of_type.sum() + 1)
    columns = np.zeros((len(chosen), 7))
    first = starts[event[chosen]]
    columns[:, 0] = kind[chosen]
    columns[:, 1] = (times_ns[chosen] - times_ns[first]) * 1e-6
    columns[:, 2] = number[event[chosen]]
    held = np.concatenate([np.zeros((1, 5)), np.cumsum(_centroid_terms(rows, seen), axis=0)])
    summed = held[chosen + 1] - held[first]
    fixation = (kind[chosen] == _FIXATION) & (summed[:, 4] > 0)
    columns[fixation, 3:7] = summed[fixation, :4] / summed[fixation, 4:]
    return columns.astype(np.float32)


def _centroid_terms(rows: NDArray[np.float32], seen: Flags) -> Floats:
    """(n, 5): gaze point in px and MCS and 1 where an eye was seen, zeros elsewhere: filled gaps hold no gaze."""
    terms = np.ones((len(rows), 5))
    terms[:, :4] = rows[:, _CENTROID]
    terms[~seen] = 0.0
    return terms


def _period_ns(times_ns: Indices) -> float:
    """Mean step: gaps are filled at the nominal rate, and rows that arrive in bunches have no typical step."""
    return float(times_ns[-1] - times_ns[0]) / (len(times_ns) - 1) if len(times_ns) > 1 else 1.0


def _velocities_deg_s(rays: Rays, times_ns: Indices, period_ns: float, rule: CausalRule) -> Floats:
    """(n,) NaN where no eye is seen or too few rows around the row are.

    The window has the number of samples that Tobii's has; its ends are the outermost valid rows inside.
    """
    count = len(times_ns)
    index = np.arange(count)
    samples = max(1, int(rule.velocity_window_ns / period_ns * _TOLERANCE)) + 1
    first = np.clip(index - samples // 2, 0, max(0, count - samples))  # at the edges the window is moved, not cut
    last = np.minimum(first + samples - 1, count - 1)
    following = np.minimum.accumulate(np.where(rays.valid, index, count)[::-1])[::-1]
    preceding = np.maximum.accumulate(np.where(rays.valid, index, -1))
    alone = _short_islands(rays.valid, round(rule.velocity_window_ns / period_ns))
    usable = rays.valid & ~alone
    velocity = np.full(count, np.nan)
    at = index[usable]
    start, stop = following[first[at]], preceding[last[at]]
    at, start, stop = at[stop > start], start[stop > start], stop[stop > start]
    # Rows that arrive in bunches have stamps too close together: n steps last n periods at least.
    lasting_ns = np.maximum((times_ns[stop] - times_ns[start]).astype(np.float64), (stop - start) * period_ns)
    velocity[at] = angles_deg(rays, start, stop) / (lasting_ns * 1e-9)
    return velocity


def _short_islands(valid: Flags, longest: int) -> Flags:
    """Rows of runs no longer than `longest` with lost rows on both sides: too little to tell a movement by."""
    starts = _run_starts(valid)
    lengths = np.diff(np.append(starts, len(valid)))
    short = valid[starts] & (lengths <= longest)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, lengths))


def _merge(kind: Indices, rays: Rays, velocity: Floats, times_ns: Indices, rule: CausalRule) -> None:
    """Give slow rows between two close fixations to them."""
    starts, stops = _fixations(kind)
    near = np.flatnonzero(times_ns[starts[1:]] - times_ns[stops[:-1] - 1] <= rule.merge_gap_ns)
    if not len(near):
        return
    centres = rays.means(starts, stops)
    for at in near[angles_deg(centres, near, near + 1) <= rule.merge_deg]:
        between = slice(stops[at], starts[at + 1])
        slow = ~(velocity[between] > rule.merge_deg_s) & (kind[between] != _LOST)
        kind[between][slow] = _FIXATION


def _discard(kind: Indices, times_ns: Indices, period_ns: float, rule: CausalRule) -> None:
    """Take short fixations back; one that the window's edge cuts may be longer and stays."""
    starts, stops = _fixations(kind)
    short = times_ns[stops - 1] - times_ns[starts] + period_ns < rule.shortest_fixation_ns
    short &= (starts > 0) & (stops < len(kind))
    for start, stop in zip(starts[short], stops[short], strict=True):
        kind[start:stop] = _UNCLASSIFIED


def _run_starts(values: NDArray[np.generic]) -> Indices:
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])).astype(np.int64)


def _fixations(kind: Indices) -> tuple[Indices, Indices]:
    """First rows of the fixations, and the rows after their last."""
    edges = np.diff(np.concatenate(([False], kind == _FIXATION, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
