"""Metrics of value predictions, in the unit of the label; and how far an array is from the one expected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.errors import ConfigurationError

__all__ = ["largest_error", "mae", "mse", "rmse"]


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of two (n,) lists."""
    return float(np.mean(np.abs(_errors(truth, predicted))))


def mse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error of two (n,) lists."""
    return float(np.mean(np.square(_errors(truth, predicted))))


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error of two (n,) lists."""
    return float(np.sqrt(mse(truth, predicted)))


def largest_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference as a share of the largest expected magnitude."""
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-12))


def _errors(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    true, guessed = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if true.ndim != 1 or true.shape != guessed.shape or not len(true):
        raise ConfigurationError(f"truth and prediction must be equally long lists, not {true.shape}, {guessed.shape}")
    return guessed - true
