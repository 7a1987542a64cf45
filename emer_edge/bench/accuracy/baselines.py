"""Guesses that have seen labels and nothing else: what a figure has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.judged import JudgedHead, truth_of
from emer_edge.data.clips import Clip
from emer_edge.metrics.summed import CORRELATIONS, summed_choices, summed_values
from emer_edge.spec.heads import HEADS

__all__ = ["FORECASTS", "baseline_figures", "guesses_of"]

FORECASTS = ("uniform chance", "prior chance")
"""Guesses whose probabilities are a forecast, too, so that they have an NLL and a Brier score."""


def guesses_of(
    name: str, classes: Sequence[str], training: Sequence[Clip], test: Sequence[Clip]
) -> dict[str, NDArray[np.float64]]:
    """What each baseline guesses about every clip of a fold.

    Args:
        name: the head.
        classes: its class names; empty for a value head.
        training: the clips of all other folds.
        test: the fold's clips.

    Returns:
        baseline -> (C,) probabilities with which each class is guessed, or (1,) value. Those that need labels of other
        folds are missing where there are none.
    """
    learnt = _labelled(name, classes, training)
    if not classes:
        if not learnt:
            return {}
        values = truth_of(name, classes, learnt)
        return {"training mean": np.array([values.mean()]), "training median": np.array([np.median(values)])}
    found = {}
    if learnt:
        counts = np.bincount(truth_of(name, classes, learnt).astype(np.int64), minlength=len(classes))
        found["training majority"] = np.eye(len(classes))[counts.argmax()]
        found["prior chance"] = counts / counts.sum()
    seen = _labelled(name, classes, test)
    if seen:
        counts = np.bincount(truth_of(name, classes, seen).astype(np.int64), minlength=len(classes))
        found["test majority"] = np.eye(len(classes))[counts.argmax()]
    found["uniform chance"] = np.full(len(classes), 1 / len(classes))
    return found


def baseline_figures(head: JudgedHead) -> dict[str, dict[str, float]]:
    """Baseline -> metric -> figure on the head's clips; expected figures of guesses that are drawn."""
    found = {}
    for name, rows in head.guesses.items():
        if head.classes:
            found[name] = summed_choices(head.truth, rows, forecast=name in FORECASTS).figures()
        else:
            figures = summed_values(head.truth, rows[:, 0]).figures()
            # A constant correlates with nothing; over folds, only the constants' own differences would.
            found[name] = {metric: value for metric, value in figures.items() if metric not in CORRELATIONS}
    return found


def _labelled(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> list[Clip]:
    """Clips labelled for the head, with a class that it has."""
    named = HEADS[name]
    having = [clip for clip in clips if name in clip.labels]
    if named.kind == "value":
        return having
    return [clip for clip in having if named.classes[int(clip.labels[name])] in classes]
