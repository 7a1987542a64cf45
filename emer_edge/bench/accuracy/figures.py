"""All figures of one head."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.baselines import baseline_figures
from emer_edge.bench.accuracy.encoded import REPEATS, Reading, ReadingPlan
from emer_edge.bench.accuracy.judged import JudgedHead, protocol_of
from emer_edge.bench.records import (
    Estimated,
    HeadAccuracy,
    ParticipantFigure,
    ParticipantSpread,
    Ranged,
    ReadingAccuracy,
)
from emer_edge.metrics.calibration import ReliabilityBin, reliability
from emer_edge.metrics.classification import confusion, uar, war, weighted_f1
from emer_edge.metrics.published import published_batch_mean
from emer_edge.metrics.regression import mae, mse, rmse

__all__ = ["estimates", "head_accuracy", "published_batch"]

_PUBLISHED_CLASSES: Mapping[str, Callable[..., float]] = {"war": war, "uar": uar, "weighted_f1": weighted_f1}
_PUBLISHED_VALUES: Mapping[str, Callable[..., float]] = {"mae": mae, "mse": mse, "rmse": rmse}


def head_accuracy(
    head: JudgedHead,
    plan: ReadingPlan,
    resamples: int,
    *,
    selection: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {}),
    published: bool = True,
) -> HeadAccuracy:
    """Work out a head's record.

    Args:
        head: its answers and the labels.
        plan: how the clips were read; its seed is that of all draws.
        resamples: draws of an interval.
        selection: what export measured on its selection windows, before and after quantisation.
        published: the published reduction, too; it is one of a fold.
    """
    newest = head.given["newest"]
    table: tuple[tuple[int, ...], ...] = ()
    bins: tuple[ReliabilityBin, ...] = ()
    if head.classes:
        counts = confusion(head.truth, newest.argmax(axis=1), len(head.classes))
        table = tuple(tuple(row) for row in counts.tolist())
        bins = reliability(newest, head.truth)
    return HeadAccuracy(
        protocol=protocol_of(head.name),
        clips=len(head.clips),
        metrics=estimates(head, newest, resamples, plan.seed),
        published_batch=published_batch(head, plan) if published else {},
        readings={reading: _reading(head, reading, plan, resamples) for reading in head.given if reading != "newest"},
        baselines=baseline_figures(head),
        classes=head.classes,
        confusion=table,
        reliability=bins,
        participants=_participants(head),
        fp32_selection=dict(selection[0]),
        final_selection=dict(selection[1]),
    )


def estimates(head: JudgedHead, rows: NDArray[np.float64], resamples: int, seed: int) -> dict[str, Estimated]:
    """Metric -> figure of (n, C) answers, one a clip, with intervals."""
    found = head.summed(rows).intervals(head.people, resamples, seed=seed)
    return {name: Estimated.of(each) for name, each in found.items()}


def published_batch(head: JudgedHead, plan: ReadingPlan) -> dict[str, Ranged]:
    """Metric -> the published scripts' reduction over `REPEATS` orders of the clips, each with a draw of its own.

    The draws are those of the plan's loader; the newest-in-slot windows stand in where the clips were read in no other
    way.
    """
    reading: Reading = "published" if plan.loader == "published" else "draws"
    rows = head.drawn(reading, REPEATS) if reading in head.given else head.drawn("newest", 1)
    metrics = _PUBLISHED_CLASSES if head.classes else _PUBLISHED_VALUES
    found: dict[str, list[float]] = {name: [] for name in metrics}
    for at in range(REPEATS):
        order = np.random.default_rng([plan.seed, at]).permutation(len(head.clips))
        drawn = rows[order, at % rows.shape[1]]
        predicted = drawn.argmax(axis=1) if head.classes else drawn[:, 0]
        for name, metric in metrics.items():
            found[name].append(published_batch_mean(metric, head.truth[order], predicted))
    return {name: Ranged.of(values) for name, values in found.items()}


def _reading(head: JudgedHead, reading: Reading, plan: ReadingPlan, resamples: int) -> ReadingAccuracy:
    """Figures in which each clip weighs the same, however many windows it has."""
    rows, owners = head.given[reading], head.owners[reading]
    over: dict[str, Ranged] = {}
    if reading != "live":
        drawn = head.drawn(reading, plan.draws)
        each = [head.summed(drawn[:, at]).figures() for at in range(drawn.shape[1])]
        over = {name: Ranged.of([one[name] for one in each]) for name in each[0] if all(name in one for one in each)}
        rows = drawn.reshape(-1, drawn.shape[2])
        owners = np.repeat(np.arange(len(head.clips)), drawn.shape[1])
    having = np.unique(owners)
    metrics = {}
    if len(having):
        summed = head.summed(rows, owners).per_owner(np.searchsorted(having, owners), len(having))
        people = [head.people[at] for at in having]
        intervals = summed.intervals(people, resamples, seed=plan.seed)
        metrics = {name: Estimated.of(found) for name, found in intervals.items()}
    return ReadingAccuracy(
        clips=len(having),
        without=len(head.clips) - len(having),
        windows=len(rows),
        metrics=metrics,
        over_draws=over,
    )


def _participants(head: JudgedHead) -> ParticipantSpread:
    newest = head.given["newest"]
    if head.classes:
        metric, marks = "war", np.asarray(newest.argmax(axis=1) == head.truth, np.float64)
    else:
        metric, marks = "mae", np.abs(newest[:, 0] - head.truth)
    people = np.array(head.people)
    figures = tuple(
        ParticipantFigure(
            participant=name, clips=int((people == name).sum()), value=float(marks[people == name].mean())
        )
        for name in dict.fromkeys(head.people)
    )
    low, q1, median, q3, high = (
        float(each) for each in np.quantile([each.value for each in figures], np.arange(5) / 4)
    )
    return ParticipantSpread(metric=metric, min=low, q1=q1, median=median, q3=q3, max=high, figures=figures)
