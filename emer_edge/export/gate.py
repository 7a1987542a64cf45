"""The accuracy gate: what may be lost between FP32 and the exported precision, on selection windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import GateRecord
from emer_edge.metrics.classification import uar, war
from emer_edge.metrics.intervals import bootstrap_difference
from emer_edge.metrics.regression import mae
from emer_edge.spec.heads import HEADS, ValueHead

__all__ = ["CLASS_MARGIN", "VALUE_MARGIN", "Change", "Verdict", "agreement", "compare", "record_of", "verdict_of"]

CLASS_MARGIN: Final = 0.01
"""WAR and UAR that a class head may lose."""
VALUE_MARGIN: Final = 0.01
"""MAE that a value head may gain, as a share of its label's range."""

Verdict = Literal["passed", "inconclusive", "failed"]
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Change:
    """One metric of one head before and after.

    Attributes:
        name: `<head>/<metric>`.
        before: figure in FP32.
        after: figure in the exported precision.
        loss: how much worse it got, in the metric's unit; below 0 where it got better.
        low, high: 95 % interval of the loss over draws of participants; NaN with fewer than two of them.
        margin: loss that is allowed.
    """

    name: str
    before: float
    after: float
    loss: float
    low: float
    high: float
    margin: float

    @property
    def verdict(self) -> Verdict:
        """Failed when the loss passes the margin beyond chance; inconclusive when the interval is too wide to tell."""
        known = math.isfinite(self.low) and math.isfinite(self.high)
        if self.loss > self.margin and (not known or self.low > 0):
            return "failed"
        narrow = known and (self.high <= self.margin or self.high - self.low <= self.margin)
        return "passed" if narrow and self.loss <= self.margin else "inconclusive"

    def __str__(self) -> str:
        return (
            f"{self.name} {self.before:.3f} -> {self.after:.3f} (loss {self.loss:.3f}, 95 % {self.low:.3f} to "
            f"{self.high:.3f}, allowed {self.margin:.3f}): {self.verdict}"
        )


def compare(
    before: Outputs,
    after: Outputs,
    labels: Mapping[str, NDArray[np.float64]],
    participants: Sequence[str],
    classes: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> tuple[Change, ...]:
    """Compare two sets of outputs on the same windows.

    Args:
        before: head -> (n, C) logits or (n, 1) values in FP32.
        after: the same in the exported precision.
        labels: head -> (n,) class index in the project's order, or value; NaN where unknown.
        participants: (n,) whose window it is.
        classes: head -> class names in output order.
        seed: of the draws of participants.

    Returns:
        WAR and UAR of each class head and MAE of each value head that has labels.
    """
    changes = []
    for name in before:
        known = np.isfinite(labels[name]) if name in labels else np.zeros(0, np.bool_)
        if not known.any():
            continue
        truth = labels[name][known]
        whose = [each for each, kept in zip(participants, known, strict=True) if kept]
        spec = HEADS[name]
        if isinstance(spec, ValueHead):
            margin = VALUE_MARGIN * (spec.high - spec.low)
            one, other = before[name][known, 0], after[name][known, 0]
            changes.append(_change(f"{name}/mae", mae, whose, truth, one, other, 1.0, margin, seed))
            continue
        order = np.array([spec.classes.index(each) for each in classes[name]])
        one, other = (order[each[name][known].argmax(axis=1)] for each in (before, after))
        true = truth.astype(np.int64)
        for title, metric in (("war", war), ("uar", uar)):
            changes.append(_change(f"{name}/{title}", metric, whose, true, one, other, -1.0, CLASS_MARGIN, seed))
    return tuple(changes)


def _change(
    name: str,
    metric: Callable[..., float],
    participants: Sequence[str],
    truth: NDArray[Any],
    before: NDArray[Any],
    after: NDArray[Any],
    sign: float,
    margin: float,
    seed: int,
) -> Change:
    interval = bootstrap_difference(metric, participants, truth, before, after, seed=seed)
    # Adding 0 turns -0 into 0.
    low, high = sorted((sign * interval.low + 0.0, sign * interval.high + 0.0))
    return Change(name, metric(truth, before), metric(truth, after), sign * interval.value + 0.0, low, high, margin)


def verdict_of(changes: Sequence[Change]) -> Verdict:
    """The worst verdict among the changes; inconclusive when there are none."""
    verdicts = {each.verdict for each in changes}
    if "failed" in verdicts:
        return "failed"
    return "passed" if verdicts == {"passed"} else "inconclusive"


def agreement(before: Outputs, after: Outputs) -> dict[str, float]:
    """Share of windows whose best class is the same, per class head."""
    return {
        name: float((before[name].argmax(axis=1) == after[name].argmax(axis=1)).mean())
        for name in before
        if HEADS[name].kind == "class"
    }


def record_of(changes: Sequence[Change], windows: int) -> GateRecord:
    """The manifest's record of a gate; its intervals are those of the metric's change, not of the loss."""
    if not changes:
        return GateRecord(verdict="not run")
    signs = {each.name: 1.0 if each.name.endswith("/mae") else -1.0 for each in changes}
    edges = {each.name: sorted((signs[each.name] * each.low, signs[each.name] * each.high)) for each in changes}
    known = {name: pair for name, pair in edges.items() if all(math.isfinite(each) for each in pair)}
    return GateRecord(
        verdict=verdict_of(changes),
        windows=windows,
        fp32={each.name: each.before for each in changes},
        final={each.name: each.after for each in changes},
        change_low={name: pair[0] for name, pair in known.items()},
        change_high={name: pair[1] for name, pair in known.items()},
    )
