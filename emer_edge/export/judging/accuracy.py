"""How accurate each precision is on selection windows, with intervals over participants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from emer_edge.export.judging.evidence import Evidence, Outputs
from emer_edge.export.judging.fitting import own_order
from emer_edge.metrics.intervals import Interval
from emer_edge.metrics.paired import Paired, paired_mean, paired_uar
from emer_edge.spec.heads import HEADS

__all__ = ["accuracy_of"]


def accuracy_of(
    outputs: Mapping[str, Outputs], evidence: Evidence, classes: Mapping[str, tuple[str, ...]], seed: int = 0
) -> dict[str, Any]:
    """WAR and UAR of class heads and MAE of value heads.

    These are the figures that the gate compares, each with an interval of its own. Windows of one person are drawn
    together, so that a few participants make the intervals wide; what a precision changed is told by the gate's paired
    differences, whose intervals are narrower.

    Args:
        outputs: `fp32` and variants -> head -> (n, C) raw outputs.
        evidence: the selection windows.
        classes: class head -> class names in output order.
        seed: of the draws of participants.

    Returns:
        The same keys -> labelled head -> metric -> `[figure, low, high]`, limits None with fewer than two participants.
    """
    found: dict[str, Any] = {key: {} for key in outputs}
    for name, labels in evidence.labels.items():
        known = np.isfinite(labels)
        if not known.any():
            continue
        whose = [each for each, kept in zip(evidence.participants, known, strict=True) if kept]
        for key, given in outputs.items():
            raw = given[name][known]
            metrics: dict[str, Paired]
            if HEADS[name].kind == "class":
                truth, best = own_order(labels[known], name, classes[name]), raw.argmax(axis=1)
                hits = best == truth
                metrics = {"war": paired_mean(hits, hits), "uar": paired_uar(truth, best, best)}
            else:
                errors = np.abs(raw[:, 0] - labels[known])
                metrics = {"mae": paired_mean(errors, errors)}
            found[key][name] = {metric: _told(each.after(whose, seed)) for metric, each in metrics.items()}
    return found


def _told(interval: Interval) -> list[float | None]:
    limits = (interval.value, interval.low, interval.high)
    return [round(each, 5) if math.isfinite(each) else None for each in limits]
