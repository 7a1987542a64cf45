"""What selection windows tell besides precision: temperatures, how honest probabilities are, accuracy, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.heads import GAP_HEADS, HEADS, ClassHead, ValueHead
from emer_edge.export.judging.workshop import Outputs, Truth
from emer_edge.export.report.export_report import Estimated, Honesty, known
from emer_edge.metrics.intervals import Interval, Paired, paired_mean, paired_uar
from emer_edge.metrics.probabilities import (
    brier,
    ece,
    fit_temperature,
    gap_quantiles,
    js_distance,
    nll,
    reliability,
    softmax,
)

FEWEST_CLIPS: Final = 20
"""Labelled clips below which nothing is fitted."""

_FOLDS: Final = 5
_LEAST_GAIN: Final = 1e-9

Probabilities = dict[str, NDArray[np.float64]]


def fit_temperatures(outputs: Outputs, truth: Truth) -> dict[str, float]:
    """Temperature of each class head, given logits (n, C) by head.

    It is 1 where fewer than 20 clips are labelled, where these hold one class only (any confidence in it would do), and
    where no temperature changes the likelihood.
    """
    return {name: _temperature(outputs[name], truth, name) for name in truth.classes if name in outputs}


def cross_fitted(outputs: Outputs, truth: Truth) -> Probabilities:
    """Probabilities (n, C) of each class head by temperatures that were fitted on other people.

    Participants are dealt into up to five groups, and each group's windows take the temperature fitted on the other
    groups', so that no window is judged by a temperature that it took part in choosing. With one participant only
    there are no others, and the temperature is 1.
    """
    numbers = {each: number for number, each in enumerate(dict.fromkeys(truth.participants))}
    groups = min(_FOLDS, len(numbers))
    group = np.array([numbers[each] % groups for each in truth.participants])
    found = {name: np.zeros(outputs[name].shape) for name in truth.classes if name in outputs}
    for each in range(groups):
        inside, rest = group == each, group != each
        others = truth.only(rest)
        for name in found:
            found[name][inside] = softmax(outputs[name][inside], _temperature(outputs[name][rest], others, name))
    return found


def gaps(probabilities: Mapping[str, NDArray[np.float64]], truth: Truth) -> NDArray[np.float64] | None:
    """Base-2 Jensen-Shannon distance (n,) of the probabilities felt and shown; None unless both heads exist."""
    if not set(GAP_HEADS) <= set(probabilities):
        return None
    one, other = (probabilities[name][:, _places(name, truth.classes[name])] for name in GAP_HEADS)
    return js_distance(one, other)


def gap_of_agreeing(outputs: Outputs, truth: Truth, temperatures: Mapping[str, float]) -> tuple[float, ...]:
    """The 101 percentiles of the gap among windows whose two labels agree; empty with fewer than 20 such clips."""
    if not set(GAP_HEADS) <= set(outputs) or not set(GAP_HEADS) <= set(truth.labels):
        return ()
    # NaN equals nothing: windows that lack a label drop out.
    felt, shown = (truth.labels[name] for name in GAP_HEADS)
    agree = felt == shown
    if len(np.unique(truth.clips[agree])) < FEWEST_CLIPS:
        return ()
    found = gaps({name: softmax(outputs[name][agree], temperatures[name]) for name in GAP_HEADS}, truth)
    return gap_quantiles(found) if found is not None else ()


def own_order(labels: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.int64]:
    """Class indices (n,) in the project's order -> in the network's."""
    return np.array(_places(name, order), np.int64)[labels.astype(np.int64)]


def probabilities_of(outputs: Mapping[str, Outputs], truth: Truth) -> dict[str, dict[str, Honesty]]:
    """How honest the probabilities of each precision are, by temperatures that were fitted on other participants.

    Args:
        outputs: `fp32` or variant -> raw outputs.
        truth: what is known of their windows.

    Returns:
        The same keys -> labelled class head -> scores.
    """
    found: dict[str, dict[str, Honesty]] = {}
    for key, given in outputs.items():
        fitted, crossed = fit_temperatures(given, truth), cross_fitted(given, truth)
        found[key] = {}
        for name, order in truth.classes.items():
            labelled = truth.known(name)
            if labelled.any() and np.isfinite(given[name]).all():
                classes, rows = own_order(truth.labels[name][labelled], name, order), crossed[name][labelled]
                bins = (astuple(each) for each in reliability(rows, classes))
                found[key][name] = Honesty(
                    temperature=round(fitted[name], 4),
                    ece=round(ece(rows, classes), 5),
                    nll=round(nll(rows, classes), 5),
                    brier=round(brier(rows, classes), 5),
                    reliability=tuple(tuple(round(cell, 5) for cell in each) for each in bins),
                )
    return found


def accuracy_of(
    outputs: Mapping[str, Outputs], truth: Truth, seed: int = 0
) -> dict[str, dict[str, dict[str, Estimated]]]:
    """WAR and UAR of class heads and MAE of value heads.

    These are the figures that the gate compares, each with an interval of its own. Windows of one person are drawn
    together, so that a few participants make the intervals wide; what a precision changed is told by the gate's paired
    differences, whose intervals are narrower.

    Args:
        outputs: `fp32` and variants -> raw outputs.
        truth: what is known of their windows.
        seed: of the draws of participants.

    Returns:
        The same keys -> labelled head -> metric -> figure and limits, None with fewer than two participants.
    """
    found: dict[str, dict[str, dict[str, Estimated]]] = {key: {} for key in outputs}
    for name in truth.labels:
        labelled = truth.known(name)
        if not labelled.any():
            continue
        some = truth.only(labelled)
        for key, given in outputs.items():
            raw = given[name][labelled]
            metrics: dict[str, Paired]
            if isinstance(HEADS[name], ValueHead):
                errors = np.abs(raw[:, 0] - some.labels[name])
                metrics = {"mae": paired_mean(errors, errors)}
            else:
                classes, best = own_order(some.labels[name], name, truth.classes[name]), raw.argmax(axis=1)
                hits = best == classes
                metrics = {"war": paired_mean(hits, hits), "uar": paired_uar(classes, best, best)}
            found[key][name] = {
                metric: _estimated(each.after(some.participants, seed)) for metric, each in metrics.items()
            }
    return found


def _estimated(interval: Interval) -> Estimated:
    value, low, high = (known(each) for each in (interval.value, interval.low, interval.high))
    return tuple(None if each is None else round(each, 5) for each in (value, low, high))  # type: ignore[return-value]


def _temperature(logits: NDArray[np.float32], truth: Truth, name: str) -> float:
    labelled = truth.known(name)
    if len(np.unique(truth.clips[labelled])) < FEWEST_CLIPS:
        return 1.0
    classes, logits = own_order(truth.labels[name][labelled], name, truth.classes[name]), logits[labelled]
    if len(np.unique(classes)) < 2:
        return 1.0
    found = fit_temperature(logits, classes)
    gained = nll(softmax(logits), classes) - nll(softmax(logits, found), classes)
    return float(found) if gained > _LEAST_GAIN else 1.0


def _places(name: str, order: Sequence[str]) -> list[int]:
    """Where the network's `order` has each class of the project's order."""
    head = HEADS[name]
    return [list(order).index(each) for each in head.classes] if isinstance(head, ClassHead) else []
