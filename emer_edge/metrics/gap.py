"""How far apart the felt and the shown emotion are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.errors import ConfigurationError

__all__ = ["GAP_QUANTILES", "auroc", "gap_percentile", "gap_quantiles", "js_distance", "roc"]

GAP_QUANTILES: Final = 101
"""Percentiles 0 to 100, as the manifest holds them."""


def js_distance(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Base-2 Jensen-Shannon distance, 0 to 1, of probabilities (..., C) and (..., C) -> (...).

    The square root of the divergence (Endres and Schindelin 2003, doi 10.1109/TIT.2003.813506): a metric.
    """
    p, q = np.asarray(one, np.float64), np.asarray(other, np.float64)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def gap_quantiles(distances: ArrayLike) -> tuple[float, ...]:
    """The 101 percentiles of (n,) distances; raise ConfigurationError when there are none."""
    values = np.asarray(distances, np.float64)
    if not values.size:
        raise ConfigurationError("there are no distances to take percentiles of")
    return tuple(float(each) for each in np.percentile(values, np.arange(GAP_QUANTILES)))


def gap_percentile(distance: float, quantiles: Sequence[float]) -> float | None:
    """Percentile (0 to 100) of a distance among those that gave `quantiles`; None when these are empty."""
    if not len(quantiles):
        return None
    return float(np.interp(distance, quantiles, np.linspace(0.0, 100.0, len(quantiles))))


def auroc(positive: ArrayLike, scores: ArrayLike) -> float:
    """Share of pairs of a positive and a negative item in which the positive one has the higher score; ties count half.

    Args:
        positive: (n,) bool.
        scores: (n,).

    Returns:
        0 to 1; NaN where either kind is missing.
    """
    kind, given = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    count = int(kind.sum())
    if count in (0, len(kind)):
        return math.nan
    ordered = np.sort(given[~kind])
    below = np.searchsorted(ordered, given[kind], side="left") + np.searchsorted(ordered, given[kind], side="right")
    return float(below.sum() / (2 * count * len(ordered)))


def roc(positive: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """The receiver operating characteristic whose area is `auroc`.

    Args:
        positive: (n,) bool.
        scores: (n,).

    Returns:
        (k, 2) float64: share of negative and of positive items at or above a threshold, rising from (0, 0) to (1, 1); a
        point for each different score. Empty where either kind is missing.
    """
    kind, given = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    if int(kind.sum()) in (0, len(kind)):
        return np.zeros((0, 2))
    order = np.argsort(-given, kind="stable")
    last = np.append(np.flatnonzero(np.diff(given[order])), len(order) - 1)
    shares = [np.cumsum(each[order])[last] / each.sum() for each in (~kind, kind)]
    return np.concatenate([np.zeros((1, 2)), np.stack(shares, axis=1)])


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of p log2(p / q) over the last axis, where 0 log 0 is 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    total: NDArray[np.float64] = np.sum(p * np.log2(ratio), axis=-1)
    return total
