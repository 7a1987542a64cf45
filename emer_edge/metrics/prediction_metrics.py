"""Metrics of predictions: classes, values, the published scripts' batches, two classifiers side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.probabilities import checked_values


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int | None = None) -> NDArray[np.int64]:
    """Count pairs of true and predicted classes.

    Args:
        truth: (n,) true class indices from 0.
        predicted: (n,) predicted ones.
        classes: number of classes C; by default the largest index and one.

    Returns:
        (C, C) int64, one row per true class, one column per predicted one.

    Raises:
        ConfigurationError: no items, different lengths, or an index outside the classes.
    """
    true, guessed = (values.astype(np.int64) for values in checked_values(truth, predicted))
    highest = int(max(true.max(), guessed.max()))
    count = highest + 1 if classes is None else classes
    if min(true.min(), guessed.min()) < 0 or highest >= count:
        raise ConfigurationError(f"class indices must lie in 0..{count - 1}")
    pairs = true * count + guessed
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def war(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Weighted average recall, 0 to 1: recalls weighted by class size, which is the accuracy."""
    table = confusion(truth, predicted)
    return float(np.trace(table) / table.sum())


def uar(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Unweighted average recall, 0 to 1: the plain mean of the recalls of the classes that occur in `truth`."""
    table = confusion(truth, predicted)
    occur = table.sum(axis=1) > 0
    return float(np.mean(np.diagonal(table)[occur] / table.sum(axis=1)[occur]))


def weighted_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """F1 of each class, weighted by its size in `truth`, 0 to 1; a class never hit counts 0."""
    table = confusion(truth, predicted)
    sizes = table.sum(axis=1)
    f1 = 2 * np.diagonal(table) / np.maximum(sizes + table.sum(axis=0), 1)
    return float(np.sum(f1 * sizes) / sizes.sum())


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of two (n,) lists."""
    return float(np.mean(np.abs(np.subtract(*checked_values(truth, predicted)))))


def mse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error of two (n,) lists."""
    return float(np.mean(np.square(np.subtract(*checked_values(truth, predicted)))))


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error of two (n,) lists."""
    return float(np.sqrt(mse(truth, predicted)))


def largest_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference as a share of the largest expected magnitude."""
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-12))


PUBLISHED_BATCH: Final = 16


def published_batch_mean(
    metric: Callable[[ArrayLike, ArrayLike], float], truth: ArrayLike, predicted: ArrayLike
) -> float:
    """Mean over consecutive batches of `metric(truth, predicted)`, (n,) lists in the order given."""
    true, guessed = np.asarray(truth), np.asarray(predicted)
    batches = (slice(at, at + PUBLISHED_BATCH) for at in range(0, len(true), PUBLISHED_BATCH))
    return float(np.mean([metric(true[batch], guessed[batch]) for batch in batches]))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided exact p of counts of items that only one of two classifiers got right.

    Binomial with probability 1/2 on the discordant items (McNemar 1947, doi 10.1007/BF02295996); 1 without any. It
    takes items as independent: with several items a person it describes and does not test.

    Raises:
        ConfigurationError: a count below 0.
    """
    if min(only_first, only_second) < 0:
        raise ConfigurationError(f"counts are at least 0, not {only_first} and {only_second}")
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(discordant, at) for at in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**discordant)))
