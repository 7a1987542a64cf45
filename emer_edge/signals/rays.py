"""Where the eyes of a window's rows look: one ray a row, short losses of an eye filled in.

Where rows hold gaze directions (the tracker gives them, or eye positions to derive them from) the angle between two
rays is 2 asin(|a - b| / 2), exact for small angles where the arc cosine of a float32 is not. Elsewhere it is taken on
the display, from an assumed distance: 2 atan(mm / 2 distance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rays", "angles_deg", "gaze_rays"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_GAZE_PX: Final = (slice(2, 4), slice(4, 6))
_DIRECTION: Final = (slice(6, 9), slice(9, 12))
_DISTANCE: Final = (18, 21)
_GAZE_MM: Final = (slice(22, 24), slice(24, 26))


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
    for gaze_px, gaze_mm, direction in zip(_GAZE_PX, _GAZE_MM, _DIRECTION, strict=True):
        point = _first_given(cells[:, gaze_mm], cells[:, gaze_px] * mm_per_px)
        ray = np.where(cells[:, direction].any(axis=1, keepdims=True), cells[:, direction], np.nan)
        points.append(point)
        directions.append(ray)
        found.append(seen & point.any(axis=1))
    combined = seen & ~(found[0] | found[1])  # rows that hold the combined gaze point alone
    points[0][combined] = cells[combined, :2] * mm_per_px
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
