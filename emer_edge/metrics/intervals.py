"""Confidence intervals by bootstrap over participants: clips of one person are not independent samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.errors import ConfigurationError

__all__ = ["RESAMPLES", "Interval", "bootstrap", "bootstrap_difference", "bootstrap_sums", "draw_sums", "limits"]

RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Interval:
    """A figure and its interval.

    Attributes:
        value: on all items.
        low, high: percentile bootstrap interval; NaN with fewer than two participants.
        level: for example 0.95.
        participants: number of clusters that were drawn from.
        items: number of items.
    """

    value: float
    low: float
    high: float
    level: float
    participants: int
    items: int


def bootstrap(
    metric: Callable[..., float],
    participants: Sequence[Hashable],
    *arrays: ArrayLike,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `metric(*arrays)` over draws of whole participants with replacement.

    Args:
        metric: takes the arrays, each indexed by item on its first axis.
        participants: (n,) whose item it is.
        arrays: for example truth (n,) and prediction (n,).
        resamples: number of draws.
        level: of the interval.
        seed: same seed, same interval.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    items = [np.asarray(each) for each in arrays]
    if not items or not len(participants) or any(len(each) != len(participants) for each in items):
        lengths = ", ".join(str(len(each)) for each in items) or "none"
        raise ConfigurationError(f"{len(participants)} participants and arrays of lengths {lengths} don't fit together")
    members = _members(participants)
    value = float(metric(*items))
    low = high = math.nan
    if len(members) > 1:
        rng = np.random.default_rng(seed)
        drawn = np.empty(resamples)
        for at in range(resamples):
            chosen = np.concatenate([members[each] for each in rng.integers(len(members), size=len(members))])
            drawn[at] = metric(*(each[chosen] for each in items))
        low, high = limits(drawn, level)
    return Interval(value, low, high, level, len(members), len(participants))


def bootstrap_difference(
    metric: Callable[..., float],
    participants: Sequence[Hashable],
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    **options: Any,
) -> Interval:
    """Interval of `metric(truth, second) - metric(truth, first)` on the same draws, so that pairs stay pairs.

    `options` are those of `bootstrap`.
    """

    def difference(true: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> float:
        return metric(true, other) - metric(true, one)

    return bootstrap(difference, participants, truth, first, second, **options)


def bootstrap_sums(
    metric: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    participants: Sequence[Hashable],
    totals: NDArray[np.float64],
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a metric that depends on the items through sums only: `bootstrap` at the price of a matrix product.

    Args:
        metric: takes (..., k) sums, gives (...).
        participants: (n,) whose item it is.
        totals: (n, k) what each item adds.
        resamples: number of draws.
        level: of the interval.
        seed: same seed, same draws as `bootstrap` makes.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    drawn, groups = draw_sums(participants, totals, resamples, seed)
    low = high = math.nan
    if groups > 1:
        low, high = limits(metric(drawn), level)
    return Interval(float(metric(totals.sum(axis=0))), low, high, level, groups, len(participants))


def draw_sums(
    participants: Sequence[Hashable], totals: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[NDArray[np.float64], int]:
    """Sums over draws of whole participants, the draws that `bootstrap` makes with the same seed.

    Args:
        participants: (n,) whose item it is.
        totals: (n, k) what each item adds.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        (resamples, k) sums, and the number of participants; no sums for a single one.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    if not len(participants) or len(totals) != len(participants):
        raise ConfigurationError(f"{len(participants)} participants and {len(totals)} items don't fit together")
    members = _members(participants)
    if len(members) < 2:
        return np.zeros((0, totals.shape[1])), len(members)
    sums = np.stack([totals[each].sum(axis=0) for each in members])
    drawn = np.random.default_rng(seed).integers(len(members), size=(resamples, len(members)))
    times = np.zeros((resamples, len(members)))
    np.add.at(times, (np.arange(resamples)[:, None], drawn), 1.0)
    return times @ sums, len(members)


def limits(drawn: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of (n,) drawn figures, those that are not defined left out; NaN where none is."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _members(participants: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    """Item indices of each participant, participants in order of first appearance."""
    found: dict[Hashable, list[int]] = {}
    for at, each in enumerate(participants):
        found.setdefault(each, []).append(at)
    return [np.array(each, np.int64) for each in found.values()]
