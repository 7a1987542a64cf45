"""What is fitted on selection windows besides precision: temperatures, and how far apart agreeing labels lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.metrics.calibration import fit_temperature, nll, softmax
from emer_edge.metrics.gap import gap_quantiles, js_distance
from emer_edge.spec.heads import HEADS

__all__ = ["FEWEST_CLIPS", "cross_fitted", "fit_temperatures", "gap_of_agreeing", "gaps", "own_order"]

FEWEST_CLIPS: Final = 20
"""Labelled clips below which nothing is fitted."""

_FOLDS: Final = 5
_LEAST_GAIN: Final = 1e-9

Outputs = Mapping[str, NDArray[np.float32]]
Labels = Mapping[str, NDArray[np.float64]]
Classes = Mapping[str, Sequence[str]]


def fit_temperatures(
    outputs: Outputs, labels: Labels, classes: Classes, clips: Sequence[int] | NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Temperature of each class head.

    It is 1 where fewer than 20 clips are labelled, where these hold one class only (any confidence in it would do), and
    where no temperature changes the likelihood.

    Args:
        outputs: head -> (n, C) logits.
        labels: head -> (n,) class index in the project's order, NaN where unknown.
        classes: head -> class names in output order.
        clips: (n,) whose window each is; each another clip's by default.
    """
    given = np.arange(len(next(iter(outputs.values())))) if clips is None else np.asarray(clips)
    return {name: _temperature(outputs, labels, name, order, given) for name, order in classes.items()}


def cross_fitted(
    outputs: Outputs,
    labels: Labels,
    classes: Classes,
    participants: Sequence[str],
    clips: Sequence[int] | NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of each class head by temperatures that were fitted on other people.

    Participants are dealt into up to five groups, and each group's windows take the temperature fitted on the other
    groups', so that no window is judged by a temperature that it took part in choosing. With one participant only
    there are no others, and the temperature is 1.

    Args:
        outputs: head -> (n, C) logits.
        labels: head -> (n,) class index in the project's order, NaN where unknown.
        classes: head -> class names in output order.
        participants: (n,) whose window it is.
        clips: (n,) which clip it is cut from; each another one by default.

    Returns:
        head -> (n, C) float64.
    """
    given = np.arange(len(participants)) if clips is None else np.asarray(clips)
    numbers = {each: number for number, each in enumerate(dict.fromkeys(participants))}
    groups = min(_FOLDS, len(numbers))
    group = np.array([numbers[each] % groups for each in participants])
    found = {name: np.zeros(outputs[name].shape) for name in classes}
    for each in range(groups):
        inside, rest = group == each, group != each
        others = {name: outputs[name][rest] for name in classes}
        known = {name: labels[name][rest] for name in classes if name in labels}
        for name, order in classes.items():
            temperature = _temperature(others, known, name, order, given[rest])
            found[name][inside] = softmax(outputs[name][inside], temperature)
    return found


def gaps(probabilities: Mapping[str, NDArray[np.float64]], classes: Classes) -> NDArray[np.float64] | None:
    """Base-2 Jensen-Shannon distance (n,) of the ER-7 and FER-7 probabilities; None unless both heads exist."""
    if not {"er-7", "fer-7"} <= set(probabilities):
        return None
    one, other = (_project_order(probabilities[name], name, classes[name]) for name in ("er-7", "fer-7"))
    return js_distance(one, other)


def gap_of_agreeing(
    outputs: Outputs,
    labels: Labels,
    classes: Classes,
    temperatures: Mapping[str, float],
    clips: Sequence[int] | NDArray[np.int64] | None = None,
) -> tuple[float, ...]:
    """The 101 percentiles of the gap among windows whose two labels agree; empty with fewer than 20 such clips."""
    if not {"er-7", "fer-7"} <= set(outputs) or not {"er-7", "fer-7"} <= set(labels):
        return ()
    # NaN equals nothing: windows that lack a label drop out.
    agree = labels["er-7"] == labels["fer-7"]
    given = np.arange(len(agree)) if clips is None else np.asarray(clips)
    if len(np.unique(given[agree])) < FEWEST_CLIPS:
        return ()
    probabilities = {name: softmax(outputs[name][agree], temperatures[name]) for name in ("er-7", "fer-7")}
    found = gaps(probabilities, classes)
    return gap_quantiles(found) if found is not None else ()


def own_order(labels: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.int64]:
    """Class indices (n,) in the project's order -> in the network's."""
    place = np.array([list(order).index(each) for each in _names(name)], np.int64)
    return place[labels.astype(np.int64)]


def _temperature(outputs: Outputs, labels: Labels, name: str, order: Sequence[str], clips: NDArray[np.int64]) -> float:
    known = np.isfinite(labels[name]) if name in labels else np.zeros(len(clips), np.bool_)
    if len(np.unique(clips[known])) < FEWEST_CLIPS:
        return 1.0
    truth, logits = own_order(labels[name][known], name, order), outputs[name][known]
    if len(np.unique(truth)) < 2:
        return 1.0
    found = fit_temperature(logits, truth)
    gained = nll(softmax(logits), truth) - nll(softmax(logits, found), truth)
    return float(found) if gained > _LEAST_GAIN else 1.0


def _project_order(probabilities: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.float64]:
    return probabilities[:, [list(order).index(each) for each in _names(name)]]


def _names(name: str) -> tuple[str, ...]:
    head = HEADS[name]
    return head.classes if head.kind == "class" else ()
