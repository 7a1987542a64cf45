"""Decoding films from the eyes alone: a linear classifier of window summaries, participants apart.

What a linear classifier of means and spreads can decode, a network can. The reverse does not hold: films that are not
decoded here may be decoded by a better classifier.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import GAZE_POINT, PUPILS
from emer_edge.core.window import EYE_SLOTS

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SPANS: Final = 8  # into which a window is cut for the course of gaze and pupils
_FOLDS: Final = 5


@dataclass(frozen=True, eq=False)
class Decoded:
    """The result of decoding.

    Attributes:
        answers: (n,) int64, the decoded class of each item, by a classifier fitted to other people's.
        hits: (n,) bool.
        chance: (permutations,) share of hits when the classes are permuted within people.
        p: share of permutations with at least as many hits, the true order counted as one (Phipson and Smyth, 2010,
            doi 10.2202/1544-6115.1585).
        folds: parts of the cross-validation.
        features: numbers that an item is summed up by.
    """

    answers: Indices
    hits: NDArray[np.bool_]
    chance: Floats
    p: float
    folds: int
    features: int


def summarise(eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Floats:
    """Numbers that sum up the eye half of windows.

    Mean and standard deviation of each column over the window, and the course of gaze and pupils in eight spans:
    films draw all eyes to the same places at the same time, and light them alike. Missing cells (0) are left out.

    Args:
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.

    Returns:
        (n, 110) float64.
    """
    columns = eye.astype(np.float64)
    mean = _mean(columns)
    sd = np.sqrt(_mean(np.where(columns != 0, (columns - mean[:, None]) ** 2, 0.0), columns != 0))
    course = np.concatenate([gaze.astype(np.float64), columns[..., PUPILS]], axis=2)
    assert GAZE_POINT.stop == gaze.shape[2]
    spans = course.reshape(len(course) * _SPANS, EYE_SLOTS // _SPANS, -1)
    return np.concatenate([mean, sd, _mean(spans).reshape(len(course), -1)], axis=1)


def numbered(keys: Sequence[Hashable]) -> Indices:
    """(n,) int64: the number of each key, in the order of first appearance."""
    numbers = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def decode(
    features: Floats, classes: Sequence[Hashable], owners: Sequence[Hashable], *, permutations: int, seed: int
) -> Decoded | None:
    """Decode classes from (n, k) features by linear discriminant analysis, cross-validated with people apart.

    Features are standardised with the mean and spread of the fitted clips; the covariance within classes is shrunk as
    Ledoit and Wolf do (2004, doi 10.1016/S0047-259X(03)00096-4), so that nothing is left to choose. Classes count
    alike. For chance the classes are permuted within people (each keeps the films that they saw), or anyhow where
    nobody has clips of two classes, and everything is fitted again.

    Args:
        features: (n, k).
        classes: (n,) class of each item.
        owners: (n,) person of each item.
        permutations: how many.
        seed: of the folds and the permutations.

    Returns:
        None with fewer than two people or two classes.
    """
    truth, person = numbered(classes), numbered(owners)
    people = int(person.max(initial=-1)) + 1
    if people < 2 or not truth.any():
        return None
    rng = np.random.default_rng(seed)
    folds = min(_FOLDS, people)
    dealt = rng.permutation(people) % folds
    parts = [_standardised(features, dealt[person] == fold) for fold in range(folds)]

    def decoded(labels: Indices) -> Indices:
        guesses = np.empty(len(labels), np.int64)
        for held_out, known, unknown in parts:
            guesses[held_out] = _nearest(known, labels[~held_out], unknown)
        return guesses

    answers = decoded(truth)
    groups = [np.flatnonzero(person == number) for number in range(people)]
    if all(len(set(truth[group])) < 2 for group in groups):
        groups = [np.arange(len(truth))]
    chance = np.empty(permutations)
    for at in range(permutations):
        labels = truth.copy()
        for group in groups:
            labels[group] = truth[rng.permutation(group)]
        chance[at] = np.mean(decoded(labels) == labels)
    hits = answers == truth
    p = (1 + np.sum(chance >= hits.mean() - 1e-12)) / (1 + permutations)
    return Decoded(answers=answers, hits=hits, chance=chance, p=float(p), folds=folds, features=features.shape[1])


def _standardised(features: Floats, held_out: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Which items are held out, and the features of the others and of these, in units of the others' spread."""
    fitted = features[~held_out]
    spread = fitted.std(axis=0)
    scaled = (features - fitted.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return held_out, scaled[~held_out], scaled[held_out]


def _nearest(known: Floats, labels: Indices, unknown: Floats) -> Indices:
    """The class with the nearest mean for each (m, k) unknown item, as the covariance within classes measures."""
    classes, place = np.unique(labels, return_inverse=True)
    member = np.eye(len(classes))[place]
    means = (member.T @ known) / member.sum(axis=0)[:, None]
    weights = np.linalg.solve(_shrunk(known - means[place]), means.T)
    scores = unknown @ weights - 0.5 * (means * weights.T).sum(axis=1)
    return np.asarray(classes[scores.argmax(axis=1)], np.int64)


def _shrunk(centred: Floats) -> Floats:
    """(k, k) covariance of (n, k) centred items, shrunk towards a multiple of the identity."""
    count, width = centred.shape
    sample = centred.T @ centred / count
    level = np.trace(sample) / width
    spread = np.sum(sample**2) - width * level**2
    noise = (np.sum(np.sum(centred**2, axis=1) ** 2) / count - np.sum(sample**2)) / count
    share = float(np.clip(noise / spread, 1e-3, 1.0)) if spread > 0 else 1.0
    shrunk: Floats = (1.0 - share) * sample + share * max(level, 1e-12) * np.eye(width)
    return shrunk


def _mean(values: Floats, present: NDArray[np.bool_] | None = None) -> Floats:
    """(n, k) means over the middle axis of (n, m, k), missing cells left out; 0 where all are missing."""
    given = values != 0 if present is None else present
    return np.asarray(np.where(given, values, 0.0).sum(axis=1) / np.maximum(given.sum(axis=1), 1), np.float64)
