"""The range whose 8 bits err least: the expected squared error of rounding and clipping, over a histogram.

With step s and whole levels k_low..k_high, a value x becomes k s with k = clip(round(x / s), k_low, k_high). The
integral of its squared error from 0 to x has the closed form k s^3 / 12 + (x - k s)^3 / 3, so a bin of evenly spread
values costs the difference of that at its two edges, whatever the bin's width is next to the step. Values in the bin
that starts at 0 count as exact zeros: after a ReLU most of them are, and zero is always a level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.calibration.histogram import BINS, RunningHistogram

__all__ = ["GRIDS", "Grid", "expected_squared_error", "mse_range"]

Grid = Literal["unsigned", "signed"]
"""How 8 bits lie on a range: `unsigned` 0..255 with a zero point, `signed` -128..127 around 0."""

GRIDS: Final[tuple[Grid, Grid]] = ("unsigned", "signed")

_COARSE: Final = 64
_FINE: Final = 33
_ROUNDS: Final = 3

Edges = NDArray[np.float64]


def expected_squared_error(histogram: RunningHistogram, low: float, high: float, grid: Grid) -> float:
    """Mean squared error, in squared units of the tensor, of quantising what was counted to the range (low, high).

    The range is widened to hold 0, as every Q/DQ pair does.
    """
    edges, counts = _filled(histogram)
    if not len(counts):
        return 0.0
    return float(_errors(edges, counts, np.array([low]), np.array([high]), grid)[0]) / histogram.total


def mse_range(histogram: RunningHistogram, grid: Grid) -> tuple[float, float]:
    """The range within what was met that quantises it with the least expected squared error.

    Each side in turn is searched on a coarse lattice and then around its best point.
    """
    lowest, highest = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if histogram.dead or lowest == highest:
        return histogram.low, histogram.high
    edges, counts = _filled(histogram)
    if grid == "signed":
        reach = _search(lambda tried: _errors(edges, counts, -tried, tried, grid), max(-lowest, highest))
        return max(lowest, -reach), min(highest, reach)
    low, high = lowest, highest

    def of_highs(tried: NDArray[np.float64]) -> NDArray[np.float64]:
        return _errors(edges, counts, np.full_like(tried, low), tried, grid)

    def of_lows(tried: NDArray[np.float64]) -> NDArray[np.float64]:
        return _errors(edges, counts, -tried, np.full_like(tried, high), grid)

    for _ in range(_ROUNDS):
        before = (low, high)
        high = _search(of_highs, highest)
        low = 0.0 - _search(of_lows, -lowest)
        if (low, high) == before:
            break
    return low, high


def _search(errors: Callable[[NDArray[np.float64]], NDArray[np.float64]], most: float) -> float:
    """The reach in 0..most with the least error; the widest of equals, so that nothing is clipped for nothing."""
    if most <= 0.0:
        return 0.0
    tried = np.linspace(most, most / _COARSE, _COARSE)
    best = float(tried[int(np.argmin(errors(tried)))])
    tried = np.linspace(min(best + most / _COARSE, most), max(best - most / _COARSE, most / _COARSE / 8), _FINE)
    return float(tried[int(np.argmin(errors(tried)))])


def _filled(histogram: RunningHistogram) -> tuple[Edges, NDArray[np.float64]]:
    """Edges (n, 2) and counts (n,) of the bins that hold values other than zero."""
    counts = histogram.counts.astype(np.float64)
    counts[BINS // 2] = 0.0
    used = np.flatnonzero(counts)
    edges = histogram.edges
    return np.stack([edges[used], edges[used + 1]], axis=1), counts[used]


def _errors(
    edges: Edges, counts: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], grid: Grid
) -> NDArray[np.float64]:
    """Summed squared error of each of the ranges (low[i], high[i])."""
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    if grid == "unsigned":
        step = np.maximum((high - low) / 255.0, 1e-30)
        first = -np.rint(-low / step)
        last = first + 255.0
    else:
        step = np.maximum(np.maximum(-low, high) / 127.0, 1e-30)
        first, last = np.full_like(step, -128.0), np.full_like(step, 127.0)
    # (2, ranges, bins): the integral at both edges of each bin.
    at = edges.T[:, None, :]
    width = step[None, :, None]
    level = np.clip(np.rint(at / width), first[None, :, None], last[None, :, None])
    nearest = level * width
    apart = at - nearest
    integral = nearest * (width * width / 12.0) + apart * apart * apart / 3.0
    mean = (integral[1] - integral[0]) / (edges[:, 1] - edges[:, 0])
    summed: NDArray[np.float64] = mean @ counts
    return summed
