"""Smoothing of gaze rays against a tracker's noise, no longer than the noise asks for: what `causal-2` adds.

The noise is measured on the window's own rows, by second differences: steady gaze and drift cancel in them, saccades
are too few to move their median. A moving median takes the noise out and leaves saccades steep. Its length is the
shortest for which noise alone stays `smoothing_sigmas` below the velocity of a saccade, up to
`smoothing_longest_ms`; where that is not enough the velocity is raised. A quiet tracker's rows stay as they are, to the
bit.

A median over more than seven rows is that of three to seven means of neighbouring rows, which together span as much:
what it costs does not grow with the rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from math import log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.window import EVENT_CONSTANTS, NANOSECONDS
from emer_edge.signals.rays import CLOCK_TOLERANCE, Rays, lengths

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_LONGEST_NS: Final = int(EVENT_CONSTANTS["causal-2"]["smoothing_longest_ms"] * 1_000_000)
_SIGMAS: Final = EVENT_CONSTANTS["causal-2"]["smoothing_sigmas"]
_FEWEST: Final = 20  # second differences that tell a noise
_MEDIAN: Final = sqrt(2 * log(2))  # of the length of a vector of two normal parts
_QUARTER: Final = sqrt(2 * log(4 / 3))  # its lower quartile
_CLEARLY: Final = 1.5  # times another estimate
_MOST_KEPT: Final = 0.99  # rows that repeat tell no difference
_BURST_NS: Final = NANOSECONDS // 2  # of noise, told from its neighbours
_OF_MEDIAN: Final = 1.2  # standard deviation of a median of normal numbers, as a share of their mean's
_BLOCK: Final = 4096  # rows whose medians fit into a core's cache


@dataclass(frozen=True, slots=True)
class Length:
    """A moving median of `means` means of `rows` successive rows each, both odd; 1 and 1 leave all as it is."""

    means: int = 1
    rows: int = 1

    @property
    def span(self) -> int:
        """Rows that one smoothed row is made of."""
        return self.means * self.rows


@dataclass(frozen=True, slots=True)
class Noise:
    """A tracker's noise along one axis.

    Attributes:
        deg: standard deviation, degrees.
        lasting_rows: rows that one error lasts, 1 for white noise.
    """

    deg: float = 0.0
    lasting_rows: float = 1.0

    def velocity_deg_s(self, length: Length, steps: int, period_ns: float) -> float:
        """Standard deviation along one axis of the velocity between rows `steps` apart, smoothed over a length."""
        apart = min(steps, length.span)  # spans that overlap share their rows
        share = min(1.0, self.lasting_rows * apart / length.span**2) * (_OF_MEDIAN**2 if length.span > 1 else 1.0)
        return self.deg * sqrt(2 * share) / (steps * period_ns / NANOSECONDS)


def measure_noise(rays: Rays, steps: int, period_ns: float) -> Noise:
    """The noise of rays whose velocities are taken over `steps` rows; none where too few rows tell it.

    Second differences of neighbours know white noise: their median, or that of the louder quarter of half seconds where
    noise comes in bursts. Those of rows `steps` apart are larger where errors last for several rows; saccades are in
    many of them, so their lower quartile counts. Either replaces the median only where it is clearly larger.
    """
    near, far = _turned_deg(rays, 1), _turned_deg(rays, steps)
    if len(near) < _FEWEST or len(far) < _FEWEST:
        return Noise()
    rows = min(len(near), max(_FEWEST, round(_BURST_NS / period_ns)))
    parts = near[: len(near) // rows * rows].reshape(-1, rows)
    white, loud = float(np.median(near)), float(np.quantile(np.median(parts, axis=1), 0.75))
    white = (loud if loud > _CLEARLY * white else white) / (_MEDIAN * sqrt(6))
    lasting = float(np.quantile(far, 0.25)) / (_QUARTER * sqrt(6))
    if lasting <= _CLEARLY * white:
        return Noise(white)
    # the correlation of neighbours, if noise is a first-order autoregression
    kept = min(2 - sqrt(1 + 3 * (white / lasting) ** 2), _MOST_KEPT)
    return Noise(lasting, (1 + kept) / (1 - kept))


def _turned_deg(rays: Rays, steps: int) -> Floats:
    """Lengths of the second differences of rows `steps` apart, degrees, of those whose three rows are valid."""

    def differences(values: Floats) -> Floats:
        one, middle, other = (values[at : len(values) - 2 * steps + at] for at in (0, steps, 2 * steps))
        return lengths(one - 2 * middle + other)

    if len(rays.valid) <= 2 * steps:
        return np.zeros(0)
    turned = differences(rays.direction)
    seen = rays.valid[2 * steps :] & rays.valid[steps:-steps] & rays.valid[: -2 * steps]
    without = np.isnan(turned) & seen
    if without.any():  # on the display, as angles are there
        turned = np.where(without, differences(rays.point_mm) / rays.distance_mm[steps:-steps], turned)
    return np.degrees(turned[seen])


def choose_length(noise: Noise, limit_deg_s: float, steps: int, period_ns: float) -> tuple[Length, float]:
    """The shortest length that keeps a noise below a velocity, and that velocity, raised where no length is enough."""
    length = Length()
    for length in _lengths(_LONGEST_NS / period_ns * CLOCK_TOLERANCE):
        if _SIGMAS * noise.velocity_deg_s(length, steps, period_ns) <= limit_deg_s:
            return length, limit_deg_s
    return length, _SIGMAS * noise.velocity_deg_s(length, steps, period_ns)


def _lengths(longest: float) -> Iterator[Length]:
    """All lengths of up to `longest` rows, in ascending order."""
    span = 1
    yield Length()
    for rows in range(1, int(longest) // 3 + 1, 2):
        for means in (3, 5, 7):
            if span < means * rows <= longest:
                span = means * rows
                yield Length(means, rows)


def smooth(rays: Rays, length: Length) -> Rays:
    """The rays as medians over a length, cut at the window's edges; lost rows take no part and stay lost."""
    if length.span == 1:
        return rays
    direction, point_mm = rays.direction, rays.point_mm
    given = rays.valid & ~np.isnan(direction[:, 0])
    if given.any():
        medians = _medians(direction, given, length)
        direction = (medians / np.sqrt((medians * medians).sum(axis=0))).T
    if not np.array_equal(given, rays.valid):  # else no angle is taken on the display
        point_mm = _medians(point_mm, rays.valid, length).T
    return replace(rays, direction=direction, point_mm=point_mm)


def _medians(values: Floats, there: Flags, length: Length) -> Floats:
    """(c, n) moving medians of the (n, c) rows that are there, NaN where a span has none."""
    rows, counted = np.where(there, values.T, np.inf).astype(np.float32), there
    if length.rows > 1:
        rows, counted = _means(values.T, there, length.rows)
    (columns, count), reach = rows.shape, length.means // 2 * length.rows
    padded = np.full((columns, count + 2 * reach), np.inf, np.float32)
    padded[:, reach : reach + count] = rows
    held = np.zeros(count + 2 * reach, np.int8)
    held[reach : reach + count] = counted
    places = range(0, 2 * reach + 1, length.rows)
    present: NDArray[np.int8] = np.stack([held[at : at + count] for at in places]).sum(axis=0, dtype=np.int8)
    result = np.empty((columns, count))
    for start in range(0, count, _BLOCK):
        part = slice(start, min(start + _BLOCK, count))
        lanes = [padded[:, start + at : part.stop + at].copy() for at in places]
        result[:, part] = _middle(lanes, present[part])
    return result


def _means(values: Floats, there: Flags, length: int) -> tuple[NDArray[np.float32], Flags]:
    """(c, n) means over `length` rows around each row of those that are there, infinite without any; (n,) with any."""
    columns, count = values.shape
    held = np.zeros((columns + 1, count + length))
    inside = slice(length // 2 + 1, length // 2 + 1 + count)
    held[:columns, inside], held[columns, inside] = np.where(there, values, 0.0), there
    summed = np.cumsum(held, axis=1)
    totals = summed[:, length:] - summed[:, :count]
    number = totals[columns]
    means = np.where(number > 0, totals[:columns] / np.maximum(number, 1.0), np.inf)
    return means.astype(np.float32), number > 0


def _middle(lanes: list[NDArray[np.float32]], present: NDArray[np.int8]) -> Floats:
    """(c, m) medians across lanes (c, m), whose missing numbers are infinite and last; NaN where none is present."""
    spare, middle = np.empty_like(lanes[0]), len(lanes) // 2
    for least in range(middle):  # bubble the lower half into order: the rest does not matter
        for at in range(len(lanes) - 1, least, -1):
            np.minimum(lanes[at - 1], lanes[at], out=spare)
            np.maximum(lanes[at - 1], lanes[at], out=lanes[at])
            lanes[at - 1], spare = spare, lanes[at - 1]
    lanes[middle] = reduce(np.minimum, lanes[middle:])
    medians = lanes[middle].astype(np.float64)
    few = np.flatnonzero(present < len(lanes))
    if len(few):
        lower, number = np.stack([lane[:, few] for lane in lanes[: middle + 1]]), present[few]
        one, other = (lower[at, :, np.arange(len(few))].T for at in (np.maximum(number - 1, 0) // 2, number // 2))
        medians[:, few] = np.where(number > 0, (one + other) / 2, np.nan)
    return medians
