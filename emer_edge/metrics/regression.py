"""Metrics of value predictions, in the unit of the label; and how far an array is from the one expected."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.summed import summed_values

__all__ = ["ccc", "largest_error", "mae", "mse", "pearson", "rmse"]


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of two (n,) lists."""
    return float(np.mean(np.abs(_errors(truth, predicted))))


def mse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error of two (n,) lists."""
    return float(np.mean(np.square(_errors(truth, predicted))))


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error of two (n,) lists."""
    return float(np.sqrt(mse(truth, predicted)))


def ccc(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Concordance correlation coefficient of two (n,) lists, -1 to 1 (Lin 1989, doi 10.2307/2532051), variances over n.

    0 where one of them never changes; NaN where both are the same constant.
    """
    return summed_values(truth, predicted).figures().get("ccc", math.nan)


def pearson(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's correlation coefficient of two (n,) lists, -1 to 1; NaN where one of them never changes."""
    return summed_values(truth, predicted).figures().get("pearson", math.nan)


def largest_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference as a share of the largest expected magnitude."""
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-12))


def _errors(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    true, guessed = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if true.ndim != 1 or true.shape != guessed.shape or not len(true):
        raise ConfigurationError(f"truth and prediction must be equally long lists, not {true.shape}, {guessed.shape}")
    return guessed - true
