"""Gaze rays of a window's rows, and the angles between them.

Where rows hold gaze directions (the tracker gives them, or eye positions to derive them from) the angle between two
rays is 2 asin(|a - b| / 2), exact for small angles where the arc cosine of a float32 is not. Elsewhere it is taken on
the display, from an assumed distance: 2 atan(mm / 2 distance).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import DIRECTION, DISTANCE, GAZE_MM, GAZE_POINT, GAZE_PX

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

FILL_GAP_NS: Final = 75_000_000
"""Shorter losses of an eye are filled in."""
CLOCK_TOLERANCE: Final = 1.01
"""Steps of a clock in whole milliseconds still count three samples into 20 ms at 120 Hz."""
_MM_PER_PX: Final = 527.0 / 1920.0  # of a display, where rows hold no gaze in millimetres
VIEWING_DISTANCE_MM: Final = 650.0
"""Assumed where a tracker gives no eye position."""


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
        edges = np.stack([starts, stops], axis=1).ravel()

        def mean(values: Floats) -> Floats:
            summed = np.add.reduceat(np.append(values, np.zeros((1, values.shape[1])), axis=0), edges, axis=0)[::2]
            return np.asarray(summed / lengths)

        distance_mm = mean(self.distance_mm[:, None])[:, 0]
        return Rays(np.ones(len(starts), np.bool_), units(mean(self.direction)), mean(self.point_mm), distance_mm)


def gaze_rays(rows: NDArray[np.float32], times_ns: Indices, seen: Flags) -> Rays:
    """The rays of a window's rows: the mean of the visible eyes, short losses of an eye filled in a straight line."""
    cells = rows.astype(np.float64)
    points, directions, known = [], [], []
    for gaze_px, gaze_mm, direction in zip(GAZE_PX, GAZE_MM, DIRECTION, strict=True):
        point = np.where(_any(cells[:, gaze_mm])[:, None], cells[:, gaze_mm], cells[:, gaze_px] * _MM_PER_PX)
        points.append(point)
        directions.append(np.where(_any(cells[:, direction])[:, None], cells[:, direction], np.nan))
        known.append(seen & _any(point))
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
    known_eyes = (distances > 0).T.astype(np.int64)
    number = known_eyes[0] + known_eyes[1]
    near = np.where(number > 0, (distances[:, 0] + distances[:, 1]) / np.maximum(1, number), 0)
    point_mm, direction_of_eyes = _mean_of_eyes(points, known), _mean_of_eyes(directions, known)
    distance_mm = np.where(near > 0, near, VIEWING_DISTANCE_MM)
    return Rays(known[0] | known[1], units(direction_of_eyes), point_mm, distance_mm)


def angles_deg(rays: Rays, one: Indices, other: Indices) -> Floats:
    """(m,) angles between rows `one` and `other`, (m,) indices each."""
    chord = lengths(rays.direction[one] - rays.direction[other])
    angles = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    without = np.isnan(angles)
    if without.any():
        one, other = one[without], other[without]
        apart_mm = lengths(rays.point_mm[one] - rays.point_mm[other])
        angles[without] = 2 * np.arctan(apart_mm / (rays.distance_mm[one] + rays.distance_mm[other]))
    return np.asarray(np.degrees(angles))


def runs(values: NDArray[np.generic]) -> tuple[Indices, Indices]:
    """First rows of the runs of equal values, and the rows after their last."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])).astype(np.int64)
    return starts, np.append(starts[1:], len(values))


def _short_losses(known: Flags, times_ns: Indices) -> Flags:
    """Rows of losses between known rows that are shorter than the gap to fill, first to last lost row."""
    starts, stops = runs(known)
    short = ~known[starts] & (times_ns[stops - 1] - times_ns[starts] < FILL_GAP_NS)
    short[[0, -1]] = False
    return np.asarray(np.repeat(short, stops - starts))


def _mean_of_eyes(eyes: list[Floats], known: list[Flags]) -> Floats:
    given = [one & ~np.isnan(values[:, 0]) for values, one in zip(eyes, known, strict=True)]
    total = sum(np.where(one[:, None], values, 0.0) for values, one in zip(eyes, given, strict=True))
    count = (given[0].astype(np.int64) + given[1])[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def units(vectors: Floats) -> Floats:
    """(n, 3) vectors at length 1, NaN where they have none."""
    long = lengths(vectors)[:, None]
    return np.asarray(np.where(long > 0, vectors / np.where(long > 0, long, 1.0), np.nan))


def lengths(vectors: Floats) -> Floats:
    """(n,) lengths of (n, k) vectors: column by column, in a quarter of the time that rows of few cells take."""
    return np.asarray(np.sqrt(reduce(np.add, (column * column for column in vectors.T))))


def _any(cells: Floats) -> Flags:
    """(n,) whether any of a row's few cells is not 0."""
    return np.asarray(reduce(np.logical_or, (column != 0 for column in cells.T)))
