"""The accuracy gate: what may be lost between FP32 and the exported precision, on selection windows.

Every figure is a paired difference on the same windows, its interval a bootstrap over participants, and every figure of
both variants must hold for the gate to pass; that makes no correction for their number necessary (an
intersection-union test). The margins:

| figure | allowed | why |
| --- | --- | --- |
| WAR, UAR | 0.01 lower | one clip in a hundred |
| MAE | 1 % of the label's range higher | below what two annotators agree on |
| ECE | 0.01 higher | it has the unit of accuracy: confidence is off by one more point |
| NLL | 0.02 nats higher | the true class keeps 98 % of its probability, in the geometric mean |
| Brier score | 0.01 higher, of 2 | one clip in a hundred goes from even odds to certainly wrong, or so |
| gap, mean absolute shift | 0.02, of 1 | two points of the 0 to 1 scale on which it is shown |
| gap, AUROC | 0.01 lower | how well it separates windows with different labels, in the unit of accuracy |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import GateRecord
from emer_edge.core.heads import GAP_HEADS, HEADS, ValueHead
from emer_edge.export.judging.fitting import cross_fitted, fit_temperatures, gaps, own_order
from emer_edge.export.judging.workshop import Outputs, Truth
from emer_edge.export.report.export_report import ChangeRow, Verdict, known
from emer_edge.metrics.intervals import Interval, Paired, bootstrap_difference, paired_ece, paired_mean, paired_uar
from emer_edge.metrics.probabilities import SMALLEST, auroc, js_distance, softmax
from emer_edge.report.words import digits_that_decide

MARGINS: Final = {
    "war": 0.01,
    "uar": 0.01,
    "mae": 0.01,
    "ece": 0.01,
    "nll": 0.02,
    "brier": 0.01,
    "gap/shift": 0.02,
    "gap/auroc": 0.01,
}
"""What may be lost, in the unit of the metric; MAE as a share of its label's range."""

_ROUNDING: Final = 1e-9
"""A loss of exactly the margin is allowed: differences of binary fractions miss it by less than this."""

_HIGHER_IS_BETTER: Final = frozenset({"war", "uar", "auroc"})


@dataclass(frozen=True)
class Change:
    """One metric of one head before and after.

    Attributes:
        name: `<head>/<metric>`, or `gap/shift` and `gap/auroc`.
        before: figure in FP32.
        after: figure in the exported precision.
        loss: in the metric's unit; below 0 where the figure got better.
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
    def metric(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def verdict(self) -> Verdict:
        """Failed when the loss exceeds the margin beyond chance; inconclusive without a narrow interval."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "inconclusive"
        most = self.margin + _ROUNDING
        if self.loss > most:
            return "failed" if self.low > 0 else "inconclusive"
        return "passed" if self.high <= most or self.high - self.low <= most else "inconclusive"

    @property
    def row(self) -> ChangeRow:
        """For the report; what is unknown is None."""
        figures = {name: known(getattr(self, name)) for name in ("before", "after", "loss", "low", "high")}
        return ChangeRow(name=self.name, **figures, margin=self.margin, verdict=self.verdict)

    def __str__(self) -> str:
        interval, known = "no interval, as there is one participant only", math.isfinite(self.low + self.high)
        digits = digits_that_decide(((self.loss, self.margin), (self.low, 0.0), (self.high, self.margin)))
        if known:
            interval = f"95 % {self.low:.{digits}f} to {self.high:.{digits}f}"
        return (
            f"{self.name} {self.before:.{digits}f} -> {self.after:.{digits}f} (loss {self.loss:.{digits}f}, "
            f"{interval}, allowed {self.margin:.{digits}f}): {self.verdict}"
        )


def compare(before: Outputs, after: Outputs, truth: Truth, seed: int = 0) -> tuple[Change, ...]:
    """Compare two sets of outputs on the same windows.

    Probabilities are those of each side's own temperatures. Where they are compared with labels these are fitted on
    other participants' windows (`cross_fitted`); the gap, which is compared between windows, takes the one temperature
    fitted on all, as in the bundle.

    Args:
        before: head -> (n, C) logits or (n, 1) values in FP32.
        after: the same in the exported precision.
        truth: labels of these windows.
        seed: of the draws of participants.

    Returns:
        WAR, UAR, ECE, NLL and Brier score of each class head and MAE of each value head that has labels; where both
        heads of the gap exist, its shift, and where their labels differ on some windows only, its AUROC.
    """
    changes = []
    one, other = (cross_fitted(outputs, truth) for outputs in (before, after))
    for name in before:
        labelled = truth.known(name)
        if not labelled.any():
            continue
        some, spec = truth.only(labelled), HEADS[name]
        if isinstance(spec, ValueHead):
            errors = [np.abs(outputs[name][labelled, 0] - some.labels[name]) for outputs in (before, after)]
            figures, unit = {"mae": paired_mean(*errors)}, spec.high - spec.low
        else:
            classes = own_order(some.labels[name], name, truth.classes[name])
            figures, unit = _class_figures(classes, one[name][labelled], other[name][labelled]), 1.0
        for metric, paired in figures.items():
            interval = paired.change(some.participants, seed)
            changes.append(_change(f"{name}/{metric}", paired.figures, interval, MARGINS[metric] * unit))
    return (*changes, *_gap_changes(before, after, truth, seed)) if changes else ()


def _class_figures(truth: NDArray[np.int64], one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, Paired]:
    rows = np.arange(len(truth))
    best = one.argmax(axis=1), other.argmax(axis=1)
    hits = [(classes == truth).astype(np.float64) for classes in best]
    surprise = [-np.log(np.maximum(side[rows, truth], SMALLEST)) for side in (one, other)]
    squares = [np.square(side - np.eye(side.shape[1])[truth]).sum(axis=1) for side in (one, other)]
    return {
        "war": paired_mean(*hits),
        "uar": paired_uar(truth, *best),
        "ece": paired_ece(one, other, truth),
        "nll": paired_mean(*surprise),
        "brier": paired_mean(*squares),
    }


def _gap_changes(before: Outputs, after: Outputs, truth: Truth, seed: int) -> list[Change]:
    scaled = []
    for outputs in (before, after):
        temperatures = fit_temperatures(outputs, truth)
        scaled.append(gaps({name: softmax(outputs[name], factor) for name, factor in temperatures.items()}, truth))
    one, other = scaled
    if one is None or other is None:
        return []
    shift = paired_mean(np.zeros(len(one)), np.abs(other - one))
    changes = [_change("gap/shift", shift.figures, shift.change(truth.participants, seed), MARGINS["gap/shift"])]
    if not set(GAP_HEADS) <= set(truth.labels):
        return changes
    both = np.logical_and(*(truth.known(name) for name in GAP_HEADS))
    some = truth.only(both)
    differ = np.not_equal(*(some.labels[name] for name in GAP_HEADS))
    if not 0 < differ.sum() < len(differ):
        return changes
    sides = {"first": one[both], "second": other[both]}
    interval = bootstrap_difference(auroc, some.participants, differ, **sides, seed=seed)
    figures = auroc(differ, one[both]), auroc(differ, other[both])
    return [*changes, _change("gap/auroc", figures, interval, MARGINS["gap/auroc"])]


def _change(name: str, figures: tuple[float, float], interval: Interval, margin: float) -> Change:
    sign = -1.0 if name.rpartition("/")[2] in _HIGHER_IS_BETTER else 1.0
    # Adding 0 turns -0 into 0.
    low, high = sorted((sign * interval.low + 0.0, sign * interval.high + 0.0))
    loss = sign * interval.value + 0.0
    return Change(name, *figures, loss=loss, low=low, high=high, margin=margin)


def verdict_of(changes: Sequence[Change]) -> Verdict:
    """The worst verdict among the changes; inconclusive when there are none."""
    verdicts = {change.verdict for change in changes}
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


def shift_of(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> float:
    """Mean shift of the outputs (n, C) over windows, then over heads, 0 to 1.

    For class heads that is the base-2 Jensen-Shannon distance of the probabilities, for values the difference as a
    share of the label's range.
    """
    moved = []
    for name in before:
        spec = HEADS[name]
        if isinstance(spec, ValueHead):
            apart = np.abs(after[name] - before[name])[:, 0] / (spec.high - spec.low)
            moved.append(float(np.minimum(apart, 1.0).mean()))
        else:
            moved.append(float(js_distance(softmax(before[name]), softmax(after[name])).mean()))
    return float(np.mean(moved))


def record_of(changes: Sequence[Change], truth: Truth) -> GateRecord:
    """The manifest's record of the cpu variant's gate; its intervals are those of the metric's change, not the loss."""
    if not changes:
        return GateRecord(verdict="not run")
    edges = {}
    for change in changes:
        sign = -1.0 if change.metric in _HIGHER_IS_BETTER else 1.0
        pair = sorted((sign * change.low, sign * change.high))
        if all(math.isfinite(edge) for edge in pair):
            edges[change.name] = pair
    return GateRecord(
        verdict=verdict_of(changes),
        windows=len(truth.participants),
        clips=len(np.unique(truth.clips)),
        participants=truth.people,
        fp32={change.name: change.before for change in changes},
        final={change.name: change.after for change in changes},
        change_low={name: low for name, (low, _) in edges.items()},
        change_high={name: high for name, (_, high) in edges.items()},
    )
