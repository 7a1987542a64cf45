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
| gap, AUROC | 0.01 lower | how well it tells windows whose labels differ, in the unit of accuracy |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import GateRecord
from emer_edge.export.judging.fitting import cross_fitted, fit_temperatures, gaps, own_order
from emer_edge.metrics.calibration import SMALLEST, softmax
from emer_edge.metrics.gap import auroc
from emer_edge.metrics.intervals import Interval, bootstrap_difference
from emer_edge.metrics.paired import Paired, paired_ece, paired_mean, paired_uar
from emer_edge.spec.heads import HEADS, ValueHead

__all__ = [
    "BRIER_MARGIN",
    "CLASS_MARGIN",
    "ECE_MARGIN",
    "GAP_MARGIN",
    "NLL_MARGIN",
    "VALUE_MARGIN",
    "Change",
    "Verdict",
    "agreement",
    "compare",
    "record_of",
    "verdict_of",
]

CLASS_MARGIN: Final = 0.01
"""WAR and UAR that a class head may lose, and AUROC that the gap may."""
VALUE_MARGIN: Final = 0.01
"""MAE that a value head may gain, as a share of its label's range."""
ECE_MARGIN: Final = 0.01
"""Expected calibration error that a class head may gain."""
NLL_MARGIN: Final = 0.02
"""Negative log-likelihood, nats, that a class head may gain."""
BRIER_MARGIN: Final = 0.01
"""Brier score, 0 to 2, that a class head may gain."""
GAP_MARGIN: Final = 0.02
"""How far the gap, 0 to 1, may move in the mean of absolute shifts."""

_HIGHER_IS_BETTER: Final = frozenset({"war", "uar", "auroc"})

Verdict = Literal["passed", "inconclusive", "failed"]
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Change:
    """One metric of one head before and after.

    Attributes:
        name: `<head>/<metric>`, or `gap/shift` and `gap/auroc`.
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
    def metric(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def verdict(self) -> Verdict:
        """Failed when the loss passes the margin beyond chance; inconclusive when the interval is too wide to tell."""
        known = math.isfinite(self.low) and math.isfinite(self.high)
        if self.loss > self.margin and (not known or self.low > 0):
            return "failed"
        narrow = known and (self.high <= self.margin or self.high - self.low <= self.margin)
        return "passed" if narrow and self.loss <= self.margin else "inconclusive"

    def __str__(self) -> str:
        interval = "no interval, as there is one participant only"
        if math.isfinite(self.low) and math.isfinite(self.high):
            interval = f"95 % {self.low:.3f} to {self.high:.3f}"
        return (
            f"{self.name} {self.before:.3f} -> {self.after:.3f} (loss {self.loss:.3f}, {interval}, "
            f"allowed {self.margin:.3f}): {self.verdict}"
        )


def compare(
    before: Outputs,
    after: Outputs,
    labels: Mapping[str, NDArray[np.float64]],
    participants: Sequence[str],
    classes: Mapping[str, Sequence[str]],
    seed: int = 0,
    clips: Sequence[int] | NDArray[np.int64] | None = None,
) -> tuple[Change, ...]:
    """Compare two sets of outputs on the same windows.

    Probabilities are those of each side's own temperatures. Where they are held against labels these are fitted on
    other participants' windows (`emer_edge.export.judging.fitting.cross_fitted`); the gap, which is compared between
    windows, takes the one temperature fitted on all, as the bundle will.

    Args:
        before: head -> (n, C) logits or (n, 1) values in FP32.
        after: the same in the exported precision.
        labels: head -> (n,) class index in the project's order, or value; NaN where unknown.
        participants: (n,) whose window it is.
        classes: head -> class names in output order.
        seed: of the draws of participants.
        clips: (n,) which clip each window is cut from; each another one by default.

    Returns:
        WAR, UAR, ECE, NLL and Brier score of each class head and MAE of each value head that has labels; where both
        heads of the gap exist, how far it moves, and where their labels differ on some windows and not on others, how
        well it tells these apart.
    """
    changes = []
    orders = {name: order for name, order in classes.items() if name in before}
    sides = [cross_fitted(each, labels, orders, participants, clips) for each in (before, after)]
    for name in before:
        known = np.isfinite(labels[name]) if name in labels else np.zeros(0, np.bool_)
        if not known.any():
            continue
        whose = [each for each, kept in zip(participants, known, strict=True) if kept]
        spec = HEADS[name]
        figures: dict[str, tuple[Paired, float]]
        if isinstance(spec, ValueHead):
            errors = [np.abs(each[name][known, 0] - labels[name][known]) for each in (before, after)]
            figures = {"mae": (paired_mean(*errors), VALUE_MARGIN * (spec.high - spec.low))}
        else:
            truth = own_order(labels[name][known], name, classes[name])
            figures = _class_figures(truth, sides[0][name][known], sides[1][name][known])
        for metric, (paired, margin) in figures.items():
            interval = paired.change(whose, seed)
            changes.append(_change(f"{name}/{metric}", *paired.figures, interval, margin))
    if not changes:
        return ()
    scaled = []
    for each in (before, after):
        temperatures = fit_temperatures(each, labels, orders, clips)
        scaled.append(gaps({name: softmax(each[name], temperatures[name]) for name in orders}, classes))
    return (*changes, *_gap_changes(scaled[0], scaled[1], labels, participants, seed))


def _class_figures(
    truth: NDArray[np.int64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> dict[str, tuple[Paired, float]]:
    rows = np.arange(len(truth))
    best = one.argmax(axis=1), other.argmax(axis=1)
    hits = [(each == truth).astype(np.float64) for each in best]
    surprise = [-np.log(np.maximum(each[rows, truth], SMALLEST)) for each in (one, other)]
    squares = [np.square(each - np.eye(each.shape[1])[truth]).sum(axis=1) for each in (one, other)]
    return {
        "war": (paired_mean(*hits), CLASS_MARGIN),
        "uar": (paired_uar(truth, *best), CLASS_MARGIN),
        "ece": (paired_ece(one, other, truth), ECE_MARGIN),
        "nll": (paired_mean(*surprise), NLL_MARGIN),
        "brier": (paired_mean(*squares), BRIER_MARGIN),
    }


def _gap_changes(
    one: NDArray[np.float64] | None,
    other: NDArray[np.float64] | None,
    labels: Mapping[str, NDArray[np.float64]],
    participants: Sequence[str],
    seed: int,
) -> list[Change]:
    if one is None or other is None:
        return []
    shift = paired_mean(np.zeros(len(one)), np.abs(other - one))
    changes = [_change("gap/shift", *shift.figures, shift.change(participants, seed), GAP_MARGIN)]
    if not {"er-7", "fer-7"} <= set(labels):
        return changes
    known = np.isfinite(labels["er-7"]) & np.isfinite(labels["fer-7"])
    differ = labels["er-7"][known] != labels["fer-7"][known]
    if not 0 < differ.sum() < len(differ):
        return changes
    whose = [each for each, kept in zip(participants, known, strict=True) if kept]
    interval = bootstrap_difference(auroc, whose, differ, one[known], other[known], seed=seed)
    figures = auroc(differ, one[known]), auroc(differ, other[known])
    return [*changes, _change("gap/auroc", *figures, interval, CLASS_MARGIN)]


def _change(name: str, before: float, after: float, interval: Interval, margin: float) -> Change:
    sign = -1.0 if name.rpartition("/")[2] in _HIGHER_IS_BETTER else 1.0
    # Adding 0 turns -0 into 0.
    low, high = sorted((sign * interval.low + 0.0, sign * interval.high + 0.0))
    return Change(name, before, after, sign * interval.value + 0.0, low, high, margin)


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


def record_of(changes: Sequence[Change], participants: Sequence[str], clips: NDArray[np.int64]) -> GateRecord:
    """The manifest's record of a gate; its intervals are those of the metric's change, not of the loss.

    Args:
        changes: of the cpu variant.
        participants: (n,) whose window it is.
        clips: (n,) which clip it is cut from.
    """
    if not changes:
        return GateRecord(verdict="not run")
    edges = {}
    for each in changes:
        sign = -1.0 if each.metric in _HIGHER_IS_BETTER else 1.0
        pair = sorted((sign * each.low, sign * each.high))
        if all(math.isfinite(edge) for edge in pair):
            edges[each.name] = pair
    return GateRecord(
        verdict=verdict_of(changes),
        windows=len(participants),
        clips=len(np.unique(clips)),
        participants=len(set(participants)),
        fp32={each.name: each.before for each in changes},
        final={each.name: each.after for each in changes},
        change_low={name: low for name, (low, _) in edges.items()},
        change_high={name: high for name, (_, high) in edges.items()},
    )
