"""Fits and figures on selection windows: temperatures, calibration of probabilities, accuracy, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.reading_records import GapRecord, WithoutEyesRecord
from emer_edge.core.heads import GAP_HEADS, HEADS, ClassHead, ValueHead
from emer_edge.export.judging.workshop import Outputs, Truth
from emer_edge.export.report.export_report import Estimated, ProbabilityScores, known
from emer_edge.metrics.intervals import Interval, Paired, paired_mean, paired_uar
from emer_edge.metrics.prediction_metrics import uar, war
from emer_edge.metrics.probabilities import (
    brier,
    ece,
    fit_isotonic,
    fit_temperature,
    js_distance,
    nll,
    reliability,
    softmax,
)

FEWEST_CLIPS: Final = 20
"""Labelled clips below which nothing is fitted."""

FEWEST_OF_EACH: Final = 5  # clips whose labels agree, and differ, for a probability of the latter
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

    Participants are split into up to five groups, and each group's windows take the temperature fitted on the other
    groups. With a single participant the temperature is 1.
    """
    numbers = {participant: number for number, participant in enumerate(dict.fromkeys(truth.participants))}
    groups = min(_FOLDS, len(numbers))
    group = np.array([numbers[participant] % groups for participant in truth.participants])
    probabilities = {name: np.zeros(outputs[name].shape) for name in truth.classes if name in outputs}
    for number in range(groups):
        inside, rest = group == number, group != number
        others = truth.only(rest)
        for name in probabilities:
            temperature = _temperature(outputs[name][rest], others, name)
            probabilities[name][inside] = softmax(outputs[name][inside], temperature)
    return probabilities


def gaps(probabilities: Mapping[str, NDArray[np.float64]], truth: Truth) -> NDArray[np.float64] | None:
    """Base-2 Jensen-Shannon distance (n,) of the probabilities felt and shown; None unless both heads exist."""
    if not set(GAP_HEADS) <= set(probabilities):
        return None
    one, other = (probabilities[name][:, _places(name, truth.classes[name])] for name in GAP_HEADS)
    return js_distance(one, other)


def gap_record(outputs: Outputs, truth: Truth, temperatures: Mapping[str, float]) -> GapRecord | None:
    """What the gap of a reading is compared with; None without both heads or any clip with both labels.

    Each clip whose labels agree counts once, by its deterministic window; whether labels differ is fitted on all.
    """
    if not set(GAP_HEADS) <= set(outputs) or not set(GAP_HEADS) <= set(truth.labels):
        return None
    felt, shown = (truth.labels[name] for name in GAP_HEADS)
    both = np.isfinite(felt) & np.isfinite(shown)
    distances = gaps({name: softmax(outputs[name], temperatures[name]) for name in GAP_HEADS}, truth)
    if distances is None or not both.any():
        return None
    first = np.unique(truth.clips, return_index=True)[1]
    first = first[both[first]]
    agree = felt[first] == shown[first]
    same, differing = int(agree.sum()), int((~agree).sum())
    agreeing: tuple[float, ...] = ()
    knots: tuple[tuple[float, float], ...] = ()
    absent = {}
    counted = f"of the selection clips the labels of {same} agree and of {differing} differ"
    if same >= FEWEST_CLIPS:
        agreeing = tuple(np.sort(distances[first][agree]).tolist())
    else:
        absent["larger_than"] = f"{counted}: {FEWEST_CLIPS} that agree are needed"
    if len(first) < FEWEST_CLIPS or min(same, differing) < FEWEST_OF_EACH:
        absent["p_differ"] = f"{counted}: {FEWEST_CLIPS} are needed, {FEWEST_OF_EACH} of each"
    else:
        knots = fit_isotonic(distances[both], (felt != shown)[both], edge=1 / (len(first) + 2))
    return GapRecord(clips=len(first), agreeing=agreeing, differ=knots, absent=absent)


def without_eyes_record(outputs: Outputs, blind: Outputs, truth: Truth) -> WithoutEyesRecord | None:
    """What the FER heads lose without eyes, `blind` being their outputs (n, C); None where no clip has their label."""
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    clips: set[int] = set()
    for name in blind:
        labelled = truth.known(name)
        if not labelled.any():
            continue
        clips |= set(truth.clips[labelled].tolist())
        for given, figures in ((outputs, before), (blind, after)):
            raw, labels = given[name][labelled], truth.labels[name][labelled]
            if isinstance(spec := HEADS[name], ValueHead):
                figures[f"{name}/mae"] = float(np.abs(raw[:, 0] - labels).mean()) / (spec.high - spec.low)
            else:
                classes, best = own_order(labels, name, truth.classes[name]), raw.argmax(axis=1)
                figures |= {f"{name}/war": war(classes, best), f"{name}/uar": uar(classes, best)}
    if not clips:
        return None
    lost = {key: before[key] - after[key] for key in before if not key.endswith("mae")}
    lost = lost or {key: after[key] - before[key] for key in before}
    worst = max(lost, key=lambda key: lost[key])
    lost_points = 100 * max(0.0, lost[worst])
    return WithoutEyesRecord(clips=len(clips), before=before, after=after, lost_points=lost_points, worst=worst)


def own_order(labels: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.int64]:
    """Class indices (n,) in the project's order -> in the network's."""
    return np.array(_places(name, order), np.int64)[labels.astype(np.int64)]


def probabilities_of(outputs: Mapping[str, Outputs], truth: Truth) -> dict[str, dict[str, ProbabilityScores]]:
    """Calibration of the probabilities of each precision, by temperatures that were fitted on other participants.

    Args:
        outputs: `fp32` or variant -> raw outputs.
        truth: labels of their windows.

    Returns:
        The same keys -> labelled class head -> scores.
    """
    scored: dict[str, dict[str, ProbabilityScores]] = {}
    for key, given in outputs.items():
        fitted, crossed = fit_temperatures(given, truth), cross_fitted(given, truth)
        scored[key] = {}
        for name, order in truth.classes.items():
            labelled = truth.known(name)
            if labelled.any() and np.isfinite(given[name]).all():
                classes, rows = own_order(truth.labels[name][labelled], name, order), crossed[name][labelled]
                bins = (astuple(bin_) for bin_ in reliability(rows, classes))
                scored[key][name] = ProbabilityScores(
                    temperature=round(fitted[name], 4),
                    ece=round(ece(rows, classes), 5),
                    nll=round(nll(rows, classes), 5),
                    brier=round(brier(rows, classes), 5),
                    reliability=tuple(tuple(round(cell, 5) for cell in bin_) for bin_ in bins),
                )
    return scored


def accuracy_of(
    outputs: Mapping[str, Outputs], truth: Truth, seed: int = 0
) -> dict[str, dict[str, dict[str, Estimated]]]:
    """WAR and UAR of class heads and MAE of value heads, with intervals over draws of participants.

    The gate's paired differences, which have narrower intervals, show what a precision changed.

    Args:
        outputs: `fp32` and variants -> raw outputs.
        truth: labels of their windows.
        seed: of the draws of participants.

    Returns:
        The same keys -> labelled head -> metric -> figure and limits, None with fewer than two participants.
    """
    figures: dict[str, dict[str, dict[str, Estimated]]] = {key: {} for key in outputs}
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
            figures[key][name] = {
                metric: _estimated(paired.after(some.participants, seed)) for metric, paired in metrics.items()
            }
    return figures


def _estimated(interval: Interval) -> Estimated:
    value, low, high = (known(value) for value in (interval.value, interval.low, interval.high))
    return tuple(None if edge is None else round(edge, 5) for edge in (value, low, high))  # type: ignore[return-value]


def _temperature(logits: NDArray[np.float32], truth: Truth, name: str) -> float:
    labelled = truth.known(name)
    if len(np.unique(truth.clips[labelled])) < FEWEST_CLIPS:
        return 1.0
    classes, logits = own_order(truth.labels[name][labelled], name, truth.classes[name]), logits[labelled]
    if len(np.unique(classes)) < 2:
        return 1.0
    temperature = fit_temperature(logits, classes)
    gained = nll(softmax(logits), classes) - nll(softmax(logits, temperature), classes)
    return float(temperature) if gained > _LEAST_GAIN else 1.0


def _places(name: str, order: Sequence[str]) -> list[int]:
    """Where the network's `order` has each class of the project's order."""
    head = HEADS[name]
    return [list(order).index(class_name) for class_name in head.classes] if isinstance(head, ClassHead) else []
