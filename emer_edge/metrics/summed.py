"""All figures of one head from sums over items, so that their intervals cost one matrix product.

Each item adds a row of numbers, as in `intervals`; a weighted item is a scaled row, and a guess that is drawn at random
adds its expectation. On items that weigh the same, the figures are those of `prediction_metrics` and `probabilities`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics import RESAMPLES
from emer_edge.metrics.intervals import Interval, Sums, draw_sums, limits
from emer_edge.metrics.probabilities import SMALLEST, bin_of, checked_rows, checked_values, excess_by_bin

CORRELATIONS = ("ccc", "pearson")
"""Figures of values that need a prediction which varies."""

_FLAT = 1e-12
"""Variances below it are rounding: the values are all the same."""


@dataclass(frozen=True, eq=False)
class Summed:
    """Figures that depend on items through sums only.

    Attributes:
        totals: (n, k) float64, what each item adds.
        formulas: metric -> (..., k) sums -> (...) figure; NaN where it is not defined.
    """

    totals: Sums
    formulas: Mapping[str, Callable[[Sums], Sums]]

    def figures(self) -> dict[str, float]:
        """The figures on all items, those that are not defined left out."""
        sums = self.totals.sum(axis=0)
        figures = {name: float(formula(sums)) for name, formula in self.formulas.items()}
        return {name: value for name, value in figures.items() if math.isfinite(value)}

    def intervals(
        self, participants: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = 0
    ) -> dict[str, Interval]:
        """The figures with intervals over draws of the items' (n,) participants, those of `bootstrap` with that seed.

        Raises:
            ConfigurationError: another number of participants, or none.
        """
        drawn, groups = draw_sums(participants, self.totals, resamples, seed)
        return {
            name: Interval(value, *limits(self.formulas[name](drawn)), groups) for name, value in self.figures().items()
        }

    def minus(self, other: Summed) -> Summed:
        """This one's figures minus another's on the same items, pairs staying pairs."""
        if len(self.totals) != len(other.totals):
            raise ConfigurationError(f"{len(self.totals)} and {len(other.totals)} items are not the same")
        width = self.totals.shape[1]

        def difference(name: str) -> Callable[[Sums], Sums]:
            one, two = self.formulas[name], other.formulas[name]
            return lambda sums: one(sums[..., :width]) - two(sums[..., width:])

        shared = [name for name in self.formulas if name in other.formulas]
        return Summed(np.concatenate([self.totals, other.totals], axis=1), {name: difference(name) for name in shared})

    def per_owner(self, owners: ArrayLike, count: int) -> Summed:
        """Add up the rows of each owner, given (n,) owners 0 to count - 1, weighing each owner's rows to 1 in all.

        Every owner must have a row.
        """
        at = np.asarray(owners, np.int64)
        rows = np.bincount(at, minlength=count)
        if len(at) != len(self.totals) or len(rows) != count or not rows.all():
            raise ConfigurationError("every owner needs an item, and every item an owner")
        totals = np.zeros((count, self.totals.shape[1]))
        np.add.at(totals, at, self.totals / rows[at][:, None])
        return Summed(totals, self.formulas)


def summed_classes(truth: ArrayLike, probabilities: ArrayLike) -> Summed:
    """WAR, UAR, weighted F1, ECE, NLL (nats) and Brier of (n, C) probabilities given (n,) true classes.

    Raises:
        ConfigurationError: other shapes, or a class outside C.
    """
    given, true = checked_rows(probabilities, truth)
    classes = given.shape[1]
    cells = classes * classes
    pairs = _pairs(true, np.eye(classes)[given.argmax(axis=1)])
    excess = excess_by_bin(given, true, bin_of(given.max(axis=1)))

    def ece(sums: Sums) -> Sums:
        return np.asarray(np.abs(sums[..., cells + 2 :]).sum(axis=-1) / sums[..., :cells].sum(axis=-1))

    return Summed(
        np.concatenate([pairs, _losses(true, given), excess], axis=1),
        {**_choice_formulas(classes), "ece": ece, **_loss_formulas(cells)},
    )


def summed_choices(truth: ArrayLike, choices: ArrayLike, *, forecast: bool = False) -> Summed:
    """Expected WAR, UAR and weighted F1 of guesses that draw class c of an item with probability `choices[:, c]`.

    F1 is that of the expected confusion matrix.

    Args:
        truth: (n,) true classes.
        choices: (n, C) probabilities; a row with a single 1 is a guess that is made.
        forecast: NLL and Brier of the same probabilities as a forecast, too.

    Raises:
        ConfigurationError: other shapes, or a class outside C.
    """
    given, true = checked_rows(choices, truth)
    pairs, formulas = _pairs(true, given), _choice_formulas(given.shape[1])
    if not forecast:
        return Summed(pairs, formulas)
    formulas |= _loss_formulas(pairs.shape[1])
    return Summed(np.concatenate([pairs, _losses(true, given)], axis=1), formulas)


def summed_values(truth: ArrayLike, predicted: ArrayLike) -> Summed:
    """MAE, MSE, RMSE, CCC and Pearson's r of (n,) predictions given (n,) true values.

    CCC: Lin 1989, doi 10.2307/2532051, with variances over n. It is 0 for a prediction that never changes, for which
    Pearson's r is not defined.

    Raises:
        ConfigurationError: other shapes.
    """
    true, given = checked_values(truth, predicted)
    error = given - true
    # Moments about a point among the values: differences of large squares would round.
    shift = float(true.mean())
    one, two = true - shift, given - shift
    totals = np.stack([np.ones(len(true)), np.abs(error), error**2, one, two, one**2, two**2, one * two], axis=1)
    return Summed(
        totals,
        {
            "mae": lambda sums: sums[..., 1] / sums[..., 0],
            "mse": lambda sums: sums[..., 2] / sums[..., 0],
            "rmse": lambda sums: np.sqrt(sums[..., 2] / sums[..., 0]),
            "ccc": _ccc,
            "pearson": _pearson,
        },
    )


def _moments(sums: Sums) -> tuple[Sums, Sums, Sums, Sums]:
    """Variance of truth and prediction, covariance, squared difference of the means."""
    mean = sums[..., 3:] / sums[..., :1]
    one, two = mean[..., 2] - mean[..., 0] ** 2, mean[..., 3] - mean[..., 1] ** 2
    return one, two, mean[..., 4] - mean[..., 0] * mean[..., 1], (mean[..., 0] - mean[..., 1]) ** 2


def _ccc(sums: Sums) -> Sums:
    one, two, both, apart = _moments(sums)
    below = one + two + apart
    return np.where(below > _FLAT, 2 * both / np.maximum(below, _FLAT), np.nan)


def _pearson(sums: Sums) -> Sums:
    one, two, both, _ = _moments(sums)
    varied = (one > _FLAT) & (two > _FLAT)
    return np.where(varied, both / np.sqrt(np.maximum(one, _FLAT) * np.maximum(two, _FLAT)), np.nan)


def _choice_formulas(classes: int) -> dict[str, Callable[[Sums], Sums]]:
    def table(sums: Sums) -> tuple[Sums, Sums, Sums]:
        """(..., C) hits, items and choices of each class."""
        counts = sums[..., : classes * classes].reshape(*sums.shape[:-1], classes, classes)
        return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)

    def war(sums: Sums) -> Sums:
        hits, *_ = table(sums)
        return np.asarray(hits.sum(axis=-1) / sums[..., : classes * classes].sum(axis=-1))

    def uar(sums: Sums) -> Sums:
        hits, sizes, _ = table(sums)
        occur = sizes > 0
        recalls = np.divide(hits, sizes, out=np.zeros_like(sizes), where=occur)
        return np.asarray(recalls.sum(axis=-1) / occur.sum(axis=-1))

    def weighted_f1(sums: Sums) -> Sums:
        hits, sizes, chosen = table(sums)
        both = sizes + chosen
        f1 = np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0)
        return np.asarray((f1 * sizes).sum(axis=-1) / sizes.sum(axis=-1))

    return {"war": war, "uar": uar, "weighted_f1": weighted_f1}


def _loss_formulas(cells: int) -> dict[str, Callable[[Sums], Sums]]:
    """Means of the `_losses` that follow so many columns of `_pairs`."""

    def mean(at: int) -> Callable[[Sums], Sums]:
        return lambda sums: sums[..., cells + at] / sums[..., :cells].sum(axis=-1)

    return {"nll": mean(0), "brier": mean(1)}


def _pairs(true: NDArray[np.int64], choices: Sums) -> Sums:
    """(n, C * C): what each item adds to the confusion matrix, rows true, columns chosen."""
    count, classes = choices.shape
    pairs = np.zeros((count, classes, classes))
    pairs[np.arange(count), true] = choices
    return pairs.reshape(count, classes * classes)


def _losses(true: NDArray[np.int64], given: Sums) -> Sums:
    """(n, 2): negative log-likelihood and squared error of forecasts."""
    likelihood = np.maximum(given[np.arange(len(true)), true], SMALLEST)
    squares = np.square(given - np.eye(given.shape[1])[true]).sum(axis=1)
    return np.stack([-np.log(likelihood), squares], axis=1)
