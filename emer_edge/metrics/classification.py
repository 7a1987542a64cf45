"""Metrics of class predictions, on class indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.errors import ConfigurationError

__all__ = ["confusion", "uar", "war", "weighted_f1"]


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int | None = None) -> NDArray[np.int64]:
    """Count pairs of true and predicted classes.

    Args:
        truth: (n,) true class indices from 0.
        predicted: (n,) predicted ones.
        classes: number of classes C; by default the largest index and one.

    Returns:
        (C, C) int64, a row a true class, a column a predicted one.

    Raises:
        ConfigurationError: no items, different lengths, or an index outside the classes.
    """
    true, guessed = np.asarray(truth), np.asarray(predicted)
    if true.ndim != 1 or true.shape != guessed.shape or not len(true):
        raise ConfigurationError(f"truth and prediction must be equally long lists, not {true.shape}, {guessed.shape}")
    highest = int(max(true.max(), guessed.max()))
    count = highest + 1 if classes is None else classes
    if min(true.min(), guessed.min()) < 0 or highest >= count:
        raise ConfigurationError(f"class indices must lie in 0..{count - 1}")
    pairs = true.astype(np.int64) * count + guessed.astype(np.int64)
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
