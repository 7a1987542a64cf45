"""From a histogram of activations to the range that INT8 has to cover.

- `minmax`: everything met.
- `percentile`: both tails cut at 1 in 100,000 values.
- `entropy`: the threshold whose 8-bit version diverges least from the histogram (Kullback-Leibler), as in
  S. Migacz, "8-bit inference with TensorRT", GTC 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.calibration.histogram import BINS, RunningHistogram

__all__ = ["METHODS", "Method", "Range"]

Method = Literal["minmax", "percentile", "entropy"]
Range = tuple[float, float]

TAIL: Final = 1e-5
_LEVELS: Final = 128


def _minmax(histogram: RunningHistogram) -> Range:
    return histogram.low, histogram.high


def _percentile(histogram: RunningHistogram) -> Range:
    share = np.cumsum(histogram.counts) / max(histogram.total, 1)
    edges = histogram.edges
    low = float(edges[int(np.searchsorted(share, TAIL, side="right"))])
    high = float(edges[min(int(np.searchsorted(share, 1.0 - TAIL)) + 1, BINS)])
    return max(low, histogram.low), min(high, histogram.high)


def _entropy(histogram: RunningHistogram) -> Range:
    half = BINS // 2
    magnitudes = (histogram.counts[half:] + histogram.counts[:half][::-1]).astype(np.float64)
    # Exact zeros after a ReLU carry no information about the range.
    magnitudes[0] = 0.0
    candidates = np.arange(_LEVELS, half + 1, 16)
    divergences = [_divergence(magnitudes, int(stop)) for stop in candidates]
    threshold = float(candidates[int(np.argmin(divergences))]) / half * histogram.reach
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def _divergence(magnitudes: NDArray[np.float64], stop: int) -> float:
    clipped = magnitudes[:stop].copy()
    clipped[-1] += magnitudes[stop:].sum()
    if not clipped.sum():
        return np.inf
    level = np.minimum(np.arange(stop) * _LEVELS // stop, _LEVELS - 1)
    filled = magnitudes[:stop] > 0
    sums = np.bincount(level, weights=magnitudes[:stop], minlength=_LEVELS)
    sizes = np.bincount(level, weights=filled, minlength=_LEVELS)
    coarse = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0.0)
    reference, model = clipped / clipped.sum(), coarse / max(coarse.sum(), 1e-12)
    known = (reference > 0) & (model > 0)
    lost = reference[(reference > 0) & ~known].sum()
    return float(np.sum(reference[known] * np.log(reference[known] / model[known])) + lost * 20.0)


METHODS: Final[dict[str, Callable[[RunningHistogram], Range]]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
}
