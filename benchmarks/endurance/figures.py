"""What the samples and results of a long run come to: growth, percentiles, histograms by the minute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final

import numpy as np

from emer_edge.metrics.latency import percentile

__all__ = ["EDGES_MS", "calm", "growth", "histogram", "percentiles", "ratio_of_ends"]

EDGES_MS: Final = tuple(float(f"{10 ** (at / 20):.4g}") for at in range(-40, 101))
"""Upper edges of a histogram's bins, 20 a decade, 0.01 ms to 100 s."""

_FEWEST: Final = 4


def growth(times_s: Sequence[float], values: Sequence[float], from_s: float) -> dict[str, float]:
    """How much a quantity has grown from `from_s` on.

    `grown` compares the medians of the first and the last fifth of the values; `fitted` the ends of a line through all
    of them (least squares). Both count: steps show in one, a slow rise in the other.

    Returns:
        `first` and `last`, both medians; `peak`; `grown` and `fitted` in the values' unit; `grown_share` and
        `fitted_share` of `first`. All nan where there are fewer than four values.
    """
    later = [(at, value) for at, value in zip(times_s, values, strict=True) if at >= from_s]
    if len(later) < _FEWEST:
        return dict.fromkeys(("first", "last", "peak", "grown", "fitted", "grown_share", "fitted_share"), math.nan)
    at, value = np.array(later).T
    fifth = max(1, len(later) // 5)
    first, last = float(median(value[:fifth])), float(median(value[-fifth:]))
    slope = float(np.polyfit(at - at.mean(), value, 1)[0]) if at[-1] > at[0] else 0.0
    fitted = slope * float(at[-1] - at[0])
    return {
        "first": first,
        "last": last,
        "peak": float(value.max()),
        "grown": last - first,
        "fitted": fitted,
        "grown_share": (last - first) / first if first else 0.0,
        "fitted_share": fitted / first if first else 0.0,
    }


def calm(times_s: Iterable[float], troubles_s: Sequence[tuple[float, float]]) -> list[bool]:
    """Which times lie in none of the spans in which something was wrong."""
    return [not any(low <= at <= high for low, high in troubles_s) for at in times_s]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Count, p50, p90, p99 and max; only the count where there are none."""
    if not values:
        return {"count": 0}
    shares = {f"p{round(share * 100)}": percentile(values, share) for share in (0.5, 0.9, 0.99)}
    return {"count": len(values), **shares, "max": max(values)}


def histogram(values_ms: Sequence[float]) -> list[tuple[float, int]]:
    """The bins in use, (upper edge in ms, count); what is above the last edge is in the last bin."""
    places = np.minimum(np.searchsorted(EDGES_MS, values_ms, side="left"), len(EDGES_MS) - 1)
    counts = np.bincount(places, minlength=len(EDGES_MS))
    return [(EDGES_MS[at], int(count)) for at, count in enumerate(counts) if count]


def ratio_of_ends(times_s: Sequence[float], values: Sequence[float], span_s: float) -> dict[str, Any]:
    """The p99 of the values in the last `span_s`, over that of the first `span_s`."""
    if not times_s:
        return {"ratio": math.nan}
    low, high = min(times_s) + span_s, max(times_s) - span_s
    first = [value for at, value in zip(times_s, values, strict=True) if at <= low]
    last = [value for at, value in zip(times_s, values, strict=True) if at >= high]
    ends = {"first": percentiles(first), "last": percentiles(last)}
    return {"span_s": span_s, **ends, "ratio": ends["last"]["p99"] / ends["first"]["p99"]}
