"""Confidence intervals by bootstrap over participants: clips of one person are not independent samples.

Figures before and after a change on the same items are kept in a form that makes their intervals cheap: each depends on
the items only through sums over them. A draw of whole participants then is a weighted sum of a row per participant, and
a thousand draws are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics import RESAMPLES
from emer_edge.metrics.probabilities import ECE_BINS, bin_of, excess_by_bin

Sums = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure and its interval.

    Attributes:
        value: on all items.
        low, high: 95 % percentile bootstrap interval; NaN with fewer than two participants.
        participants: number of clusters that were drawn from.
    """

    value: float
    low: float
    high: float
    participants: int


def bootstrap(
    metric: Callable[..., float],
    participants: Sequence[Hashable],
    *arrays: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of `metric(*arrays)` over draws of whole participants with replacement.

    Args:
        metric: takes the arrays, each indexed by item on its first axis.
        participants: (n,) participant of each item.
        arrays: for example truth (n,) and prediction (n,).
        resamples: number of draws.
        seed: same seed, same interval.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    items = [np.asarray(array) for array in arrays]
    if not items or not len(participants) or any(len(array) != len(participants) for array in items):
        lengths = ", ".join(str(len(array)) for array in items) or "none"
        raise ConfigurationError(f"{len(participants)} participants and arrays of lengths {lengths} don't fit together")
    members = list(grouped(participants).values())
    value, low, high = float(metric(*items)), math.nan, math.nan
    if len(members) > 1:
        rng = np.random.default_rng(seed)
        drawn = np.empty(resamples)
        for at in range(resamples):
            chosen = np.concatenate([members[number] for number in rng.integers(len(members), size=len(members))])
            drawn[at] = metric(*(array[chosen] for array in items))
        low, high = limits(drawn)
    return Interval(value, low, high, len(members))


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

    return bootstrap(difference, participants, *(truth, first, second), **options)


def bootstrap_sums(
    metric: Callable[[Sums], Sums],
    participants: Sequence[Hashable],
    totals: Sums,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """`bootstrap` of a metric that depends on the items through sums only: the same draws, as a matrix product.

    Args:
        metric: takes (..., k) sums, gives (...).
        participants: (n,) participant of each item.
        totals: (n, k) what each item adds.
        resamples: number of draws.
        seed: of the draws.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    drawn, groups = draw_sums(participants, totals, resamples, seed)
    return Interval(float(metric(totals.sum(axis=0))), *limits(metric(drawn)), groups)


def draw_sums(
    participants: Sequence[Hashable], totals: Sums, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Sums, int]:
    """Sums of (n, k) totals over draws of whole participants, the draws that `bootstrap` makes with the same seed.

    Returns:
        (resamples, k) sums, and the number of participants; no sums for a single one.

    Raises:
        ConfigurationError: arrays of different lengths, or none.
    """
    if not len(participants) or len(totals) != len(participants):
        raise ConfigurationError(f"{len(participants)} participants and {len(totals)} items don't fit together")
    members = list(grouped(participants).values())
    if len(members) < 2:
        return np.zeros((0, totals.shape[1])), len(members)
    sums = np.stack([totals[rows].sum(axis=0) for rows in members])
    drawn = np.random.default_rng(seed).integers(len(members), size=(resamples, len(members)))
    times = np.zeros((resamples, len(members)))
    np.add.at(times, (np.arange(resamples)[:, None], drawn), 1.0)
    return times @ sums, len(members)


def limits(drawn: Sums) -> tuple[float, float]:
    """95 % percentile interval of (n,) drawn figures, those that are not defined left out; NaN where none is."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def grouped(keys: Sequence[Key]) -> dict[Key, NDArray[np.int64]]:
    """Key -> ascending indices of its items, keys in order of first appearance."""
    groups: dict[Key, list[int]] = {}
    for at, key in enumerate(keys):
        groups.setdefault(key, []).append(at)
    return {key: np.array(rows, np.int64) for key, rows in groups.items()}


@dataclass(frozen=True, eq=False)
class Paired:
    """One figure of the same items before and after.

    Attributes:
        totals: (n, k) what each item adds to the sums.
        formula: (..., k) sums -> (...) figure before, (...) figure after.
    """

    totals: Sums
    formula: Callable[[Sums], tuple[Sums, Sums]]

    @property
    def figures(self) -> tuple[float, float]:
        """The figure before and after, on all items."""
        before, after = self.formula(self.totals.sum(axis=0))
        return float(before), float(after)

    def change(self, participants: Sequence[Hashable], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
        """Interval of after minus before over draws of the items' (n,) participants."""

        def difference(sums: Sums) -> Sums:
            before, after = self.formula(sums)
            return after - before

        return bootstrap_sums(difference, participants, self.totals, resamples, seed=seed)

    def after(self, participants: Sequence[Hashable], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
        """Interval of the figure after, over the same draws."""
        return bootstrap_sums(lambda sums: self.formula(sums)[1], participants, self.totals, resamples, seed=seed)


def paired_mean(before: ArrayLike, after: ArrayLike) -> Paired:
    """Means of (n,) figures of single items: hits give WAR, absolute errors MAE, log-likelihoods NLL."""
    one, other = np.asarray(before, np.float64), np.asarray(after, np.float64)

    def formula(sums: Sums) -> tuple[Sums, Sums]:
        return sums[..., 0] / sums[..., 2], sums[..., 1] / sums[..., 2]

    return Paired(np.stack([one, other, np.ones(len(one))], axis=1), formula)


def paired_uar(truth: ArrayLike, before: ArrayLike, after: ArrayLike) -> Paired:
    """Unweighted average recalls given (n,) true classes and (n,) best classes before and after."""
    true = np.asarray(truth, np.int64)
    return paired_recalls(true, *(np.asarray(choice) == true for choice in (before, after)))


def paired_recalls(truth: ArrayLike, before: ArrayLike, after: ArrayLike) -> Paired:
    """Unweighted average recalls given (n,) true classes and (n,) hits before and after.

    A hit may be a share of 1: the mean over several predictions of the same item.
    """
    true = np.asarray(truth, np.int64)
    member = np.eye(int(true.max()) + 1)[true]
    hits = [member * np.asarray(hit, np.float64)[:, None] for hit in (before, after)]
    count = member.shape[1]

    def formula(sums: Sums) -> tuple[Sums, Sums]:
        size = sums[..., 2 * count :]
        occur = size > 0
        one, other = (
            (sums[..., at : at + count] / np.maximum(size, 1)).sum(axis=-1) / occur.sum(axis=-1) for at in (0, count)
        )
        return one, other

    return Paired(np.concatenate([*hits, member], axis=1), formula)


def paired_ece(before: ArrayLike, after: ArrayLike, truth: ArrayLike) -> Paired:
    """Expected calibration errors of (n, C) probabilities given (n,) true classes.

    Both are taken over the same bins, those of the mean of an item's two confidences: else items that hop over a bin's
    edge move the error by more than the change itself does. On their own bins the figures are those of
    `emer_edge.metrics.probabilities.ece`, to a few thousandths.
    """
    true = np.asarray(truth, np.int64)
    sides = [np.asarray(side, np.float64) for side in (before, after)]
    confidence = [side.max(axis=1) for side in sides]
    place = bin_of((confidence[0] + confidence[1]) / 2)
    columns = [excess_by_bin(side, true, place) for side in sides]

    def formula(sums: Sums) -> tuple[Sums, Sums]:
        one, other = (np.abs(sums[..., at : at + ECE_BINS]).sum(axis=-1) / sums[..., -1] for at in (0, ECE_BINS))
        return one, other

    return Paired(np.concatenate([*columns, np.ones((len(true), 1))], axis=1), formula)
