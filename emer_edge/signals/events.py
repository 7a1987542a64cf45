"""Causal eye movements of a window: columns 33 to 39 as a live stream can know them.

Tobii's I-VT filter runs over a finished recording and writes an event's whole duration and centroid on all its rows. A
live stream knows neither the end of an event nor the recording's start. The causal rule runs the same filter over the
rows of one window, so that a result waits for nothing: 30 degrees a second over 20 ms, gaps of an eye under 75 ms
filled, fixations under 75 ms and half a degree apart merged, those under 60 ms discarded (Olsen, "The Tobii I-VT
Fixation Filter", 2012). It writes the elapsed duration, the running centroid and an index from the window's start.

At the end of the window, the velocity of a row younger than 10 ms is that before it instead of around it, and an
unfinished event is kept whatever its length. Rows older than `SETTLE_NS` have the type that they would have in the
finished recording, except the window's first rows and rows whose merge waits for the next fixation.

`causal-2` runs it over rays smoothed against the tracker's noise (`emer_edge.signals.smoothing`): on a quiet tracker it
is the causal rule, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import GAZE_POINT, GAZE_POINT_MCS, MovementType, column_indices
from emer_edge.core.window import NEW_RULE, EventsRule
from emer_edge.signals.rays import (
    CLOCK_TOLERANCE,
    FILL_GAP_NS,
    Flags,
    Floats,
    Indices,
    Rays,
    angles_deg,
    gaze_rays,
    runs,
)
from emer_edge.signals.smoothing import choose_length, measure_noise, smooth

_SACCADE_DEG_S: Final = 30.0  # rows at or above this angular velocity are saccades
_VELOCITY_WINDOW_NS: Final = 20_000_000  # span of the velocity, around the row
_MERGE_GAP_NS: Final = 75_000_000  # fixations no farther apart than this and `_MERGE_DEG` are one ...
_MERGE_DEG: Final = 0.5
_MERGE_DEG_S: Final = 35.0  # ... but a row between them that moves faster keeps its type
_SHORTEST_FIXATION_NS: Final = 60_000_000  # shorter fixations are unclassified

SETTLE_NS: Final = max(FILL_GAP_NS, _MERGE_GAP_NS) + _SHORTEST_FIXATION_NS + _VELOCITY_WINDOW_NS // 2
"""Age at which a row of a quiet tracker has its final type, except for merges: a gap may close, then a fixation may
prove short."""

_UNCLASSIFIED, _FIXATION, _SACCADE, _LOST = (int(movement) for movement in MovementType)
_CENTROID: Final = column_indices(GAZE_POINT, GAZE_POINT_MCS)  # of columns 36 to 39


@dataclass(frozen=True, eq=False, slots=True)
class Movements:
    """The eye movements of a window's rows.

    Attributes:
        kind: (n,) int64, `MovementType`.
        noise_deg: the tracker's noise along one axis, degrees; 0 where the rule does not measure it.
        smoothed_rows: rows that each row's gaze was smoothed over; 1 on a quiet tracker.
    """

    kind: Indices
    noise_deg: float = 0.0
    smoothed_rows: int = 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result says of them: the noise, where rows were smoothed against it."""
        smoothed = f"tracker noise {self.noise_deg:.2f} deg: smoothed over {self.smoothed_rows} rows"
        return (smoothed,) if self.smoothed_rows > 1 else ()


def movements(rows: NDArray[np.float32], times_ns: Indices, seen: Flags, events: EventsRule = NEW_RULE) -> Movements:
    """Classify the rows of a window.

    Args:
        rows: (n, 39) columns 1 to 32 filled, missing cells 0.
        times_ns: (n,) ascending.
        seen: (n,) whether any eye was seen.
        events: `causal-2`, or `causal` for rows as they come.
    """
    if not len(rows):
        return Movements(np.zeros(0, np.int64))
    # The mean step: gaps are filled at the nominal rate, and rows that arrive in bunches have no typical step.
    period_ns = float(times_ns[-1] - times_ns[0]) / (len(times_ns) - 1) if len(times_ns) > 1 else 1.0
    rays, noise, span, limit_deg_s = gaze_rays(rows, times_ns, seen), 0.0, 1, _SACCADE_DEG_S
    if events != "causal":
        steps = _velocity_steps(period_ns)
        measured = measure_noise(rays, steps, period_ns)
        length, limit_deg_s = choose_length(measured, _SACCADE_DEG_S, steps, period_ns)
        rays, noise, span = smooth(rays, length), measured.deg, length.span
    velocity = _velocities_deg_s(rays, times_ns, period_ns)
    kind = np.where(velocity >= limit_deg_s, _SACCADE, _FIXATION)
    kind[np.isnan(velocity)] = _UNCLASSIFIED
    kind[~rays.valid] = _LOST
    _merge(kind, rays, velocity, times_ns, limit_deg_s=limit_deg_s * (_MERGE_DEG_S / _SACCADE_DEG_S))
    _discard(kind, times_ns, period_ns)
    return Movements(kind, noise, span)


def movement_types(rows: NDArray[np.float32], times_ns: Indices, seen: Flags, events: EventsRule = NEW_RULE) -> Indices:
    """(n,) the types of `movements`."""
    return movements(rows, times_ns, seen, events).kind


def _velocity_steps(period_ns: float) -> int:
    """Rows between the two ends of a velocity: its window has as many samples as Tobii's."""
    return max(1, int(_VELOCITY_WINDOW_NS / period_ns * CLOCK_TOLERANCE))


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


def _velocities_deg_s(rays: Rays, times_ns: Indices, period_ns: float) -> Floats:
    """(n,) angular velocity, NaN where too few rows near the row are valid.

    Its ends are the outermost valid rows of the window around the row.
    """
    count = len(times_ns)
    index = np.arange(count)
    samples = _velocity_steps(period_ns) + 1
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
    velocity[at] = angles_deg(rays, start, stop) / (lasting_ns * 1e-9)
    return velocity


def _short_islands(valid: Flags, longest: int) -> Flags:
    """Rows of runs no longer than `longest` between lost rows: too short for a velocity."""
    starts, stops = runs(valid)
    short = valid[starts] & (stops - starts <= longest)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, stops - starts))


def _merge(kind: Indices, rays: Rays, velocity: Floats, times_ns: Indices, limit_deg_s: float) -> None:
    """Give rows between two close fixations to them that are no faster than a limit."""
    starts, stops = _fixations(kind)
    near = np.flatnonzero(times_ns[starts[1:]] - times_ns[stops[:-1] - 1] <= _MERGE_GAP_NS)
    if not len(near):
        return
    centres = rays.means(starts, stops)
    for at in near[angles_deg(centres, near, near + 1) <= _MERGE_DEG]:
        between = slice(stops[at], starts[at + 1])
        slow = ~(velocity[between] > limit_deg_s) & (kind[between] != _LOST)
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
