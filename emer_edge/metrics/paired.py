"""Figures before and after a change on the same items, in a form that makes their intervals cheap.

Each figure here depends on the items only through sums over them. A draw of whole participants then is a weighted sum
of a row per participant, and a thousand draws are one matrix product (`emer_edge.metrics.intervals.bootstrap_sums`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.metrics.calibration import ECE_BINS
from emer_edge.metrics.intervals import RESAMPLES, Interval, bootstrap_sums

__all__ = ["Paired", "paired_ece", "paired_mean", "paired_recalls", "paired_uar"]

Sums = NDArray[np.float64]


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
        """Interval of after minus before over draws of the participants (n,) whose item each is."""

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
    return paired_recalls(true, *(np.asarray(each) == true for each in (before, after)))


def paired_recalls(truth: ArrayLike, before: ArrayLike, after: ArrayLike) -> Paired:
    """Unweighted average recalls given (n,) true classes and (n,) hits before and after.

    A hit may be a share of 1: the mean over several predictions of the same item.
    """
    true = np.asarray(truth, np.int64)
    member = np.eye(int(true.max()) + 1)[true]
    hits = [member * np.asarray(each, np.float64)[:, None] for each in (before, after)]
    count = member.shape[1]

    def formula(sums: Sums) -> tuple[Sums, Sums]:
        size = sums[..., 2 * count :]
        occur = size > 0
        one, other = (
            (sums[..., at : at + count] / np.maximum(size, 1)).sum(axis=-1) / occur.sum(axis=-1) for at in (0, count)
        )
        return one, other

    return Paired(np.concatenate([*hits, member], axis=1), formula)


def paired_ece(before: ArrayLike, after: ArrayLike, truth: ArrayLike, bins: int = ECE_BINS) -> Paired:
    """Expected calibration errors of (n, C) probabilities given (n,) true classes.

    Both are taken over the same bins, those of the mean of an item's two confidences: else items that hop over a bin's
    edge move the error by more than the change itself does. On their own bins the figures are those of
    `emer_edge.metrics.calibration.ece`, to a few thousandths.
    """
    true = np.asarray(truth, np.int64)
    sides = [np.asarray(each, np.float64) for each in (before, after)]
    confidence = [each.max(axis=1) for each in sides]
    place = np.clip(np.ceil((confidence[0] + confidence[1]) / 2 * bins).astype(np.int64) - 1, 0, bins - 1)
    columns = []
    for each, sure in zip(sides, confidence, strict=True):
        # Hit minus confidence: the size of a bin cancels out of the error.
        excess = np.zeros((len(true), bins))
        excess[np.arange(len(true)), place] = (each.argmax(axis=1) == true) - sure
        columns.append(excess)

    def formula(sums: Sums) -> tuple[Sums, Sums]:
        one, other = (np.abs(sums[..., at : at + bins]).sum(axis=-1) / sums[..., -1] for at in (0, bins))
        return one, other

    return Paired(np.concatenate([*columns, np.ones((len(true), 1))], axis=1), formula)
