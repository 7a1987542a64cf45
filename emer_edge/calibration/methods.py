"""From a histogram of activations to the range that INT8 has to cover.

A range depends on how 8 bits lie on it (`Grid`): 255 steps between low and high for unsigned activations with a zero
point, 127 steps on either side of 0 for symmetric signed ones.

- `minmax`: everything met, on both grids.
- `percentile`: both tails cut at 1 in 100,000 values, on both grids.
- `entropy`: the threshold whose 8-bit version diverges least from the histogram (Kullback-Leibler), as in
  S. Migacz, "8-bit inference with TensorRT", GTC 2017: 128 levels of magnitudes, or 256 where an unsigned grid has
  nothing below 0 to spend levels on.
- `mse`: the least expected squared error, see `emer_edge.calibration.mse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.calibration.histogram import BINS, RunningHistogram
from emer_edge.calibration.mse import Grid, mse_range

__all__ = ["DEFAULT_METHOD", "METHODS", "METHODS_VERSION", "Method", "Range"]

METHODS_VERSION: Final = 2
"""Raised when a method starts to give other ranges: ranges kept by an older one are then measured anew."""

DEFAULT_METHOD: Final = "mse"
"""Keeps most of the embedding, and most evenly over draws of windows (`benchmarks/calibration.py`)."""

Method = Literal["minmax", "percentile", "entropy", "mse"]
Range = tuple[float, float]

TAIL: Final = 1e-5
_STRIDE: Final = 16


def _minmax(histogram: RunningHistogram, grid: Grid) -> Range:
    return histogram.low, histogram.high


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
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": mse_range,
}
