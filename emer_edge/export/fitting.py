"""What is fitted on selection windows besides precision: temperatures, and how far apart agreeing labels lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.metrics.calibration import fit_temperature, softmax
from emer_edge.metrics.gap import gap_quantiles, js_distance
from emer_edge.spec.heads import HEADS

__all__ = ["fit_temperatures", "gap_of_agreeing"]

_FEWEST: Final = 20


def fit_temperatures(
    outputs: Mapping[str, NDArray[np.float32]],
    labels: Mapping[str, NDArray[np.float64]],
    classes: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Temperature of each class head, 1 for those with fewer than 20 labelled windows.

    Args:
        outputs: head -> (n, C) logits.
        labels: head -> (n,) class index in the project's order, NaN where unknown.
        classes: head -> class names in output order.
    """
    found = {}
    for name, order in classes.items():
        known = np.isfinite(labels[name]) if name in labels else np.zeros(0, np.bool_)
        found[name] = 1.0
        if known.sum() >= _FEWEST:
            truth = _own_order(labels[name][known], name, order)
            found[name] = float(fit_temperature(outputs[name][known], truth))
    return found


def gap_of_agreeing(
    outputs: Mapping[str, NDArray[np.float32]],
    labels: Mapping[str, NDArray[np.float64]],
    classes: Mapping[str, Sequence[str]],
    temperatures: Mapping[str, float],
) -> tuple[float, ...]:
    """The 101 percentiles of the gap among windows whose ER-7 and FER-7 labels agree; empty when there are few."""
    if not {"er-7", "fer-7"} <= set(outputs) or not {"er-7", "fer-7"} <= set(labels):
        return ()
    # NaN equals nothing: windows that lack a label drop out.
    agree = labels["er-7"] == labels["fer-7"]
    if agree.sum() < _FEWEST:
        return ()
    one, other = (
        _project_order(softmax(outputs[name][agree], temperatures[name]), name, classes[name])
        for name in ("er-7", "fer-7")
    )
    return gap_quantiles(js_distance(one, other))


def _own_order(labels: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.int64]:
    """Class indices in the project's order -> in the network's."""
    place = np.array([list(order).index(each) for each in _names(name)], np.int64)
    return place[labels.astype(np.int64)]


def _project_order(probabilities: NDArray[np.float64], name: str, order: Sequence[str]) -> NDArray[np.float64]:
    return probabilities[:, [list(order).index(each) for each in _names(name)]]


def _names(name: str) -> tuple[str, ...]:
    head = HEADS[name]
    return head.classes if head.kind == "class" else ()
