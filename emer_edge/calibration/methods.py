"""Calibration methods: from a histogram of activations to the range of INT8.

The histogram widens with larger values, so that one pass in bounded memory is enough. A range depends on the grid of
its 8 bits (`Grid`): 255 steps between low and high for unsigned activations with a zero point, 127 steps on either
side of 0 for symmetric signed ones.

- `minmax`: everything met, on both grids.
- `percentile`: both tails cut at 1 in 100,000 values, on both grids.
- `entropy`: the threshold whose 8-bit version diverges least from the histogram (Kullback-Leibler), as in
  S. Migacz, "8-bit inference with TensorRT", GTC 2017: 128 levels of magnitudes, or 256 where an unsigned grid has
  nothing below 0 to spend levels on.
- `mse`: the least expected squared error of rounding and clipping. With step s and whole levels k_low..k_high, a value
  x becomes k s with k = clip(round(x / s), k_low, k_high). The integral of its squared error from 0 to x has the closed
  form k s^3 / 12 + (x - k s)^3 / 3, so a bin of evenly spread values costs the difference of that at its two edges,
  whatever the bin's width is next to the step. Values in the bin that starts at 0 count as exact zeros: after a ReLU
  most of them are, and zero is always a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

BINS: Final = 4096

Grid = Literal["unsigned", "signed"]
"""The grid of 8 bits on a range: `unsigned` 0..255 with a zero point, `signed` -128..127 around 0."""
GRIDS: Final[tuple[Grid, Grid]] = ("unsigned", "signed")
_COARSE: Final = 64
_FINE: Final = 33
_ROUNDS: Final = 3
Edges = NDArray[np.float64]
METHODS_VERSION: Final = 2
"""Raised when a method starts to give other ranges: ranges kept by an older one are then measured anew."""
Range = tuple[float, float]
TAIL: Final = 1e-5
_STRIDE: Final = 16


@dataclass(eq=False)
class RunningHistogram:
    """Counts of values over [-reach, reach) in `BINS` equal bins; `reach` doubles when a value is outside.

    Attributes:
        counts: (BINS,) int64.
        reach: half the width, a power of two times the first batch's largest magnitude; 0 while all values are 0.
        low, high: the smallest and largest value.
        total: number of values.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    reach: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    total: int = 0

    def add(self, values: NDArray[Any]) -> None:
        """Count values of any shape; raise FloatingPointError, nothing counted, when one is not finite."""
        flat = np.asarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise FloatingPointError("values that are not finite can't be counted")
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-low, high)
        if self.reach == 0.0:
            # All zeros give no scale yet: they are counted once a scale is known.
            if largest == 0.0:
                self.total += flat.size
                return
            self.reach = largest * 1.0001
            self.counts[BINS // 2] = self.total
        while largest >= self.reach:
            self._double()
        # In place, and multiplied instead of divided: this runs over a million activations a crop.
        scaled = flat * np.float32(BINS / 2 / self.reach)
        scaled += np.float32(BINS / 2)
        bins = scaled.astype(np.int32)
        np.clip(bins, 0, BINS - 1, out=bins)
        self.counts += np.bincount(bins, minlength=BINS)
        self.total += flat.size

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS * 3 // 4] = merged
        self.reach *= 2.0

    @property
    def edges(self) -> NDArray[np.float64]:
        """The BINS + 1 edges."""
        return np.linspace(-self.reach, self.reach, BINS + 1)

    @property
    def dead(self) -> bool:
        """Whether all values were the same, so that a range has no width."""
        return self.low >= self.high

    @property
    def mean_square(self) -> float:
        """Mean of the squared values, in squared units of the tensor; each bin counts as its middle, zeros as zeros."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        middles[BINS // 2] = 0.0
        return float(np.square(middles) @ self.counts) / max(self.total, 1)

    def share_outside(self, low: float, high: float) -> float:
        """Share of the values in bins that are wholly outside of (low, high)."""
        edges = self.edges
        outside = self.counts[(edges[1:] < low) | (edges[:-1] > high)].sum()
        return float(outside) / max(self.total, 1)

    @property
    def state(self) -> tuple[NDArray[np.int64], tuple[float, float, float, int]]:
        """Counts, and reach, low, high and total: all there is to it, for `restored`."""
        return self.counts, (self.reach, self.low, self.high, self.total)

    @classmethod
    def restored(cls, counts: NDArray[np.int64], scalars: tuple[float, float, float, int]) -> RunningHistogram:
        """Make one from its `state`; raise ValueError when that can't be the state of a histogram that has counted."""
        made = cls(np.array(counts), *scalars)
        sane = (
            counts.shape == (BINS,)
            and counts.dtype == np.int64
            and bool((counts >= 0).all())
            and made.low <= made.high
            and max(-made.low, made.high) <= made.reach < math.inf
            and made.total > 0
            and int(counts.sum()) == (made.total if made.reach else 0)
        )
        if not sane:
            raise ValueError("not the state of a histogram")
        return made


def expected_squared_error(histogram: RunningHistogram, low: float, high: float, grid: Grid) -> float:
    """Mean squared error, in squared units of the tensor, of quantising what was counted to the range (low, high).

    The range is widened to hold 0, as every Q/DQ pair does.
    """
    filled = _filled(histogram)
    if not len(filled[1]):
        return 0.0
    return float(_errors(filled, np.array([low]), np.array([high]), grid)[0]) / histogram.total


def mse_range(histogram: RunningHistogram, grid: Grid) -> tuple[float, float]:
    """The range within what was met that quantises it with the least expected squared error.

    Each side in turn is searched on a coarse lattice and then around its best point.
    """
    lowest, highest = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if histogram.dead or lowest == highest:
        return histogram.low, histogram.high
    filled = _filled(histogram)
    if grid == "signed":
        reach = _search(lambda tried: _errors(filled, -tried, tried, grid), max(-lowest, highest))
        return max(lowest, -reach), min(highest, reach)
    low, high = lowest, highest

    def of_highs(tried: NDArray[np.float64]) -> NDArray[np.float64]:
        return _errors(filled, np.full_like(tried, low), tried, grid)

    def of_lows(tried: NDArray[np.float64]) -> NDArray[np.float64]:
        return _errors(filled, -tried, np.full_like(tried, high), grid)

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
    filled: tuple[Edges, NDArray[np.float64]], low: NDArray[np.float64], high: NDArray[np.float64], grid: Grid
) -> NDArray[np.float64]:
    """Summed squared error, over filled bins, of each of the ranges (low[i], high[i])."""
    edges, counts = filled
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
    return cast("NDArray[np.float64]", mean @ counts)


def _percentile(histogram: RunningHistogram, grid: Grid) -> Range:
    share = np.cumsum(histogram.counts) / max(histogram.total, 1)
    edges = histogram.edges
    low = float(edges[int(np.searchsorted(share, TAIL, side="right"))])
    high = float(edges[min(int(np.searchsorted(share, 1.0 - TAIL)) + 1, BINS)])
    return max(low, histogram.low), min(high, histogram.high)


def _entropy(histogram: RunningHistogram, grid: Grid) -> Range:
    half = BINS // 2
    magnitudes = (histogram.counts[half:] + histogram.counts[:half][::-1]).astype(np.float64)
    # Exact zeros after a ReLU carry no information about the range.
    magnitudes[0] = 0.0
    levels = 256 if grid == "unsigned" and histogram.low >= 0.0 else 128
    candidates = np.arange(levels, half + 1, _STRIDE)
    divergences = [_divergence(magnitudes, int(stop), levels) for stop in candidates]
    threshold = float(candidates[int(np.argmin(divergences))]) / half * histogram.reach
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def _divergence(magnitudes: NDArray[np.float64], stop: int, levels: int) -> float:
    clipped = magnitudes[:stop].copy()
    clipped[-1] += magnitudes[stop:].sum()
    if not clipped.sum():
        return np.inf
    level = np.minimum(np.arange(stop) * levels // stop, levels - 1)
    filled = magnitudes[:stop] > 0
    sums = np.bincount(level, weights=magnitudes[:stop], minlength=levels)
    sizes = np.bincount(level, weights=filled, minlength=levels)
    coarse = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0.0)
    reference, model = clipped / clipped.sum(), coarse / max(coarse.sum(), 1e-12)
    known = (reference > 0) & (model > 0)
    lost = reference[(reference > 0) & ~known].sum()
    return float(np.sum(reference[known] * np.log(reference[known] / model[known])) + lost * 20.0)


METHODS: Final[dict[str, Callable[[RunningHistogram, Grid], Range]]] = {
    "minmax": lambda histogram, _: (histogram.low, histogram.high),
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": mse_range,
}
