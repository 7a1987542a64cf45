"""Whether probabilities mean what they say, the one temperature that makes them, and how far apart two of them are.

Temperature scaling and the expected calibration error: Guo et al. 2017, arXiv 1706.04599. The gap is the distance of
the felt and the shown emotion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emer_edge.core.errors import ConfigurationError

ECE_BINS: Final = 15
SMALLEST: Final = 1e-12
"""Keeps the logarithm of a probability that was rounded to 0 finite."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose confidence lies in (low, high].

    Attributes:
        low, high: the bin's edges.
        count: predictions in it.
        confidence: their mean top probability, 0 when empty.
        accuracy: share of them that are right, 0 when empty.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (..., C) of logits (..., C) divided by a temperature above 0, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponents = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
    return probabilities


def nll(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean negative log-likelihood in nats of (n, C) probabilities given (n,) true classes."""
    given, true = checked_rows(probabilities, truth)
    return float(-np.mean(np.log(np.maximum(given[np.arange(len(true)), true], SMALLEST))))


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Multi-class Brier score, 0 to 2: mean over (n, C) of the squared differences to the one-hot truth, summed."""
    given, true = checked_rows(probabilities, truth)
    return float(np.mean(np.sum(np.square(given - np.eye(given.shape[1])[true]), axis=1)))


def bin_of(confidence: NDArray[np.float64], bins: int = ECE_BINS) -> NDArray[np.int64]:
    """The bin of each of (n,) confidences: bin k holds (k / bins, (k + 1) / bins]."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def excess_by_bin(given: NDArray[np.float64], true: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, bins) hit minus confidence of (n, C) probabilities, each in its bin: a bin's size cancels out of the ECE."""
    excess = np.zeros((len(true), ECE_BINS))
    excess[np.arange(len(true)), place] = (given.argmax(axis=1) == true) - given.max(axis=1)
    return excess


def reliability(probabilities: ArrayLike, truth: ArrayLike, bins: int = ECE_BINS) -> tuple[ReliabilityBin, ...]:
    """Sort (n, C) predictions into equally wide bins of their top probability."""
    given, true = checked_rows(probabilities, truth)
    confidence, right = given.max(axis=1), given.argmax(axis=1) == true
    place = bin_of(confidence, bins)
    filled = []
    for at in range(bins):
        inside = place == at
        count = int(inside.sum())
        means = (float(values[inside].mean()) if count else 0.0 for values in (confidence, right))
        filled.append(ReliabilityBin(at / bins, (at + 1) / bins, count, *means))
    return tuple(filled)


def ece(probabilities: ArrayLike, truth: ArrayLike, bins: int = ECE_BINS) -> float:
    """Expected calibration error, 0 to 1: the bins' |accuracy - confidence|, weighted by their size."""
    filled = reliability(probabilities, truth, bins)
    return sum(bucket.count * abs(bucket.accuracy - bucket.confidence) for bucket in filled) / sum(
        bucket.count for bucket in filled
    )


def fit_temperature(logits: ArrayLike, truth: ArrayLike, low: float = 0.05, high: float = 20.0) -> float:
    """Find the temperature in `low`..`high` that gives (n, C) logits the least NLL for (n,) true classes.

    The NLL is convex in 1 / temperature, so a golden-section search over its logarithm finds the minimum (to 1e-4).

    Raises:
        ConfigurationError: no items, different lengths, or a class outside C.
    """
    given, true = checked_rows(logits, truth)
    ratio = (math.sqrt(5) - 1) / 2
    left, right = math.log(low), math.log(high)

    def loss(at: float) -> float:
        return nll(softmax(given, math.exp(at)), true)

    inner, outer = right - ratio * (right - left), left + ratio * (right - left)
    inner_loss, outer_loss = loss(inner), loss(outer)
    while right - left > 1e-4:
        if inner_loss <= outer_loss:
            right, outer, outer_loss = outer, inner, inner_loss
            inner = right - ratio * (right - left)
            inner_loss = loss(inner)
        else:
            left, inner, inner_loss = inner, outer, outer_loss
            outer = left + ratio * (right - left)
            outer_loss = loss(outer)
    return math.exp((left + right) / 2)


def checked_rows(rows: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, C) rows as float64 and their (n,) true classes; raise ConfigurationError for other shapes or classes."""
    given, true = np.asarray(rows, np.float64), np.asarray(truth, np.int64)
    if given.ndim != 2 or true.shape != given.shape[:1] or not len(true):
        raise ConfigurationError(f"needs (n, C) rows and (n,) true classes, not {given.shape} and {true.shape}")
    if true.min() < 0 or true.max() >= given.shape[1]:
        raise ConfigurationError(f"true classes must lie in 0..{given.shape[1] - 1}")
    return given, true


def checked_values(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both (n,) lists as float64; raise ConfigurationError when they are empty or of different lengths."""
    true, given = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if true.ndim != 1 or true.shape != given.shape or not len(true):
        raise ConfigurationError(f"truth and prediction must be equally long lists, not {true.shape}, {given.shape}")
    return true, given


"""Percentiles 0 to 100, as the manifest holds them."""


def js_distance(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Base-2 Jensen-Shannon distance, 0 to 1, of probabilities (..., C) and (..., C) -> (...).

    The square root of the divergence (Endres and Schindelin 2003, doi 10.1109/TIT.2003.813506): a metric.
    """
    p, q = np.asarray(one, np.float64), np.asarray(other, np.float64)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def fit_isotonic(scores: ArrayLike, positive: ArrayLike, edge: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Fit the rising step function nearest to outcomes, by pooling adjacent violators.

    Args:
        scores: (n,), at least one.
        positive: (n,) bool.
        edge: probabilities are kept this far from 0 and 1: few outcomes make nothing certain.

    Returns:
        Knots (score, probability), ascending; between them `numpy.interp` gives the probability.
    """
    values, at = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    counts, hits = np.bincount(at), np.bincount(at, np.asarray(positive, np.float64))
    blocks: list[tuple[float, float, float, float]] = []  # first and last score, positive items, items
    for value, hit, count in zip(values.tolist(), hits.tolist(), counts.tolist(), strict=True):
        block = (value, value, hit, count)
        while blocks and blocks[-1][2] * block[3] >= block[2] * blocks[-1][3]:
            first, _, more, others = blocks.pop()
            block = (first, block[1], block[2] + more, block[3] + others)
        blocks.append(block)
    knots = [
        (score, min(1 - edge, max(edge, hit / count)))
        for first, last, hit, count in blocks
        for score in dict.fromkeys((first, last))
    ]
    return tuple(knots)


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
    shares = [np.cumsum(items[order])[last] / items.sum() for items in (~kind, kind)]
    return np.concatenate([np.zeros((1, 2)), np.stack(shares, axis=1)])


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of p log2(p / q) over the last axis, where 0 log 0 is 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    total: NDArray[np.float64] = np.sum(p * np.log2(ratio), axis=-1)
    return total
