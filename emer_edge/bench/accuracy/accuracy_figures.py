"""All figures of one head, and of the gap between felt and shown emotion, against the labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import REPEATS, Reading
from emer_edge.bench.accuracy.judged import JudgedHead, baseline_figures, owner, protocol_of
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.bench.records import Estimated
from emer_edge.bench.records import accuracy_records as records
from emer_edge.data.dataset import Clip
from emer_edge.metrics.intervals import Interval, bootstrap, bootstrap_difference, grouped, paired_mean
from emer_edge.metrics.prediction_metrics import confusion, mae, mse, published_batch_mean, rmse, uar, war, weighted_f1
from emer_edge.metrics.probabilities import auroc, js_distance, reliability, roc

_PUBLISHED_CLASSES: Mapping[str, Callable[..., float]] = {"war": war, "uar": uar, "weighted_f1": weighted_f1}
_PUBLISHED_VALUES: Mapping[str, Callable[..., float]] = {"mae": mae, "mse": mse, "rmse": rmse}


def head_accuracy(
    head: JudgedHead,
    options: ScoringOptions,
    *,
    selection: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {}),
    published: bool = True,
) -> records.HeadAccuracy:
    """Work out a head's record.

    Args:
        head: its answers and the labels.
        options: how the clips were read, and how often is drawn for an interval.
        selection: what export measured on its selection windows, before and after quantisation.
        published: the published reduction, too; it is one of a fold.
    """
    newest = head.given["newest"]
    counts = confusion(head.truth, newest.argmax(axis=1), len(head.classes)).tolist() if head.classes else []
    return records.HeadAccuracy(
        protocol=protocol_of(head.name),
        clips=len(head.clips),
        metrics=estimates(head, newest, options),
        published_batch=published_batch(head, options) if published else {},
        readings={reading: _reading(head, reading, options) for reading in head.given if reading != "newest"},
        baselines=baseline_figures(head),
        classes=head.classes,
        confusion=tuple(map(tuple, counts)),
        reliability=reliability(newest, head.truth) if head.classes else (),
        participants=_participants(head),
        fp32_selection=dict(selection[0]),
        final_selection=dict(selection[1]),
    )


def estimates(head: JudgedHead, rows: NDArray[np.float64], options: ScoringOptions) -> dict[str, Estimated]:
    """Metric -> figure of (n, C) answers, one per clip, with intervals."""
    intervals = head.summed(rows).intervals(head.people, options.resamples, seed=options.seed)
    return {name: Estimated.of(interval) for name, interval in intervals.items()}


def published_batch(head: JudgedHead, options: ScoringOptions) -> dict[str, records.Ranged]:
    """Metric -> the published scripts' reduction over `REPEATS` orders of the clips, each with a draw of its own.

    The draws are those of the loader; the newest-in-slot windows stand in where the clips were read in no other way.
    """
    reading: Reading = "published" if options.loader == "published" else "draws"
    rows = head.drawn(reading, REPEATS) if reading in head.given else head.drawn("newest", 1)
    metrics = _PUBLISHED_CLASSES if head.classes else _PUBLISHED_VALUES
    figures: dict[str, list[float]] = {name: [] for name in metrics}
    for at in range(REPEATS):
        order = np.random.default_rng([options.seed, at]).permutation(len(head.clips))
        drawn = rows[order, at % rows.shape[1]]
        predicted = drawn.argmax(axis=1) if head.classes else drawn[:, 0]
        for name, metric in metrics.items():
            figures[name].append(published_batch_mean(metric, head.truth[order], predicted))
    return {name: records.Ranged.of(values) for name, values in figures.items()}


def _reading(head: JudgedHead, reading: Reading, options: ScoringOptions) -> records.ReadingAccuracy:
    """Figures in which each clip weighs the same, however many windows it has."""
    rows, owners = head.given[reading], head.owners[reading]
    over: dict[str, records.Ranged] = {}
    if reading != "live":
        drawn = head.drawn(reading, options.draws)
        per_draw = [head.summed(drawn[:, at]).figures() for at in range(drawn.shape[1])]
        over = {
            name: records.Ranged.of([one[name] for one in per_draw])
            for name in per_draw[0]
            if all(name in one for one in per_draw)
        }
        rows = drawn.reshape(-1, drawn.shape[2])
        owners = np.repeat(np.arange(len(head.clips)), drawn.shape[1])
    having = np.unique(owners)
    metrics = {}
    if len(having):
        summed = head.summed(rows, owners).per_owner(np.searchsorted(having, owners), len(having))
        people = [head.people[at] for at in having]
        intervals = summed.intervals(people, options.resamples, seed=options.seed)
        metrics = {name: Estimated.of(interval) for name, interval in intervals.items()}
    return records.ReadingAccuracy(
        clips=len(having), without=len(head.clips) - len(having), windows=len(rows), metrics=metrics, over_draws=over
    )


def _participants(head: JudgedHead) -> records.ParticipantSpread:
    newest = head.given["newest"]
    if head.classes:
        metric, marks = "war", np.asarray(newest.argmax(axis=1) == head.truth, np.float64)
    else:
        metric, marks = "mae", np.abs(newest[:, 0] - head.truth)
    figures = tuple(
        records.ParticipantFigure(participant=name, clips=len(rows), value=float(marks[rows].mean()))
        for name, rows in grouped(head.people).items()
    )
    low, q1, median, q3, high = np.quantile([figure.value for figure in figures], np.arange(5) / 4).tolist()
    return records.ParticipantSpread(metric=metric, min=low, q1=q1, median=median, q3=q3, max=high, figures=figures)


_BINS: Final = 5
_ROC_STEPS: Final = 100


@dataclass(frozen=True, eq=False)
class JudgedGap:
    """The clips that have both labels, and their gap.

    Attributes:
        clips: n clips.
        distances: (n,) float64, the gap of the newest-in-slot window.
        percentiles: (n,) float64, 0 to 100 among agreeing selection clips; NaN where the bundle does not give them.
        differ: (n,) bool, whether the clip's ER-7 and FER-7 labels differ.
    """

    clips: tuple[Clip, ...]
    distances: NDArray[np.float64]
    percentiles: NDArray[np.float64]
    differ: NDArray[np.bool_]

    def among(self, rows: NDArray[np.int64]) -> JudgedGap:
        """The same for some clips only, by their indices."""
        clips = tuple(self.clips[at] for at in rows)
        return JudgedGap(clips, self.distances[rows], self.percentiles[rows], self.differ[rows])


def judge_gap(heads: Mapping[str, JudgedHead], agreeing: Sequence[float]) -> JudgedGap | None:
    """Put the gap of a fold's heads beside the labels, given the gaps of agreeing selection clips, ascending, if any.

    Returns:
        None unless both seven-class heads exist with the same classes and a clip has both labels.
    """
    er, fer = heads.get("er-7"), heads.get("fer-7")
    if er is None or fer is None or er.classes != fer.classes:
        return None
    felt, shown = shared_rows(er.clips, fer.clips)
    if not len(felt):
        return None
    distances = js_distance(er.given["newest"][felt], fer.given["newest"][shown])
    smaller = np.searchsorted(np.array(agreeing), distances, side="left")
    return JudgedGap(
        tuple(er.clips[index] for index in felt),
        distances,
        100 * smaller / len(agreeing) if agreeing else np.full(len(distances), math.nan),
        np.asarray(er.truth[felt] != fer.truth[shown]),
    )


def shared_rows(one: Sequence[Clip], other: Sequence[Clip]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the clips that both hold, in the first one's order."""
    at = {clip.name: index for index, clip in enumerate(other)}
    both = [(index, at[clip.name]) for index, clip in enumerate(one) if clip.name in at]
    rows, columns = np.array(both, np.int64).reshape(-1, 2).T
    return rows, columns


def join_gaps(parts: Sequence[JudgedGap]) -> JudgedGap:
    """The gap over several folds, each by its own bundle."""
    return JudgedGap(
        tuple(clip for part in parts for clip in part.clips),
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.percentiles for part in parts]),
        np.concatenate([part.differ for part in parts]),
    )


def gap_accuracy(gap: JudgedGap, options: ScoringOptions) -> records.GapAccuracy:
    """Work out the record; intervals are over participants."""
    people = [owner(clip) for clip in gap.clips]
    area = bootstrap(auroc, people, gap.differ, gap.distances, resamples=options.resamples, seed=options.seed)
    agreeing = gap.percentiles[~gap.differ]
    agreeing = np.sort(agreeing[np.isfinite(agreeing)]) / 100
    return records.GapAccuracy(
        clips=len(gap.clips),
        disagreeing=float(gap.differ.mean()),
        auroc=Estimated.of(area) if math.isfinite(area.value) else None,
        mean_agreeing=_mean(gap.distances[~gap.differ]),
        mean_disagreeing=_mean(gap.distances[gap.differ]),
        bins=tuple(
            _bin(gap, rows, people, options)
            for rows in np.array_split(np.argsort(gap.distances, kind="stable"), _BINS)
            if len(rows)
        ),
        uniformity=_from_uniform(agreeing) if len(agreeing) else None,
        uniformity_clips=len(agreeing),
        roc=_thinned(roc(gap.differ, gap.distances)),
    )


def auroc_change(first: JudgedGap, second: JudgedGap, options: ScoringOptions) -> Interval:
    """The second's AUROC minus the first's, given the same clips in the same order; paired over participants."""
    people = [owner(clip) for clip in first.clips]
    draws = {"resamples": options.resamples, "seed": options.seed}
    return bootstrap_difference(auroc, people, first.differ, first=first.distances, second=second.distances, **draws)


def _bin(gap: JudgedGap, rows: NDArray[np.int64], people: Sequence[str], options: ScoringOptions) -> records.GapBin:
    differ = paired_mean(gap.differ[rows], gap.differ[rows])
    share = differ.after([people[at] for at in rows], options.seed, options.resamples)
    inside = gap.distances[rows]
    return records.GapBin(
        low=float(inside.min()),
        high=float(inside.max()),
        clips=len(rows),
        mean=float(inside.mean()),
        disagreeing=Estimated.of(share),
    )


def _thinned(points: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """At most so many of (k, 2) points that a drawing needs, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), _ROC_STEPS + 1)).round().astype(np.int64))
    return tuple((round(float(x), 5), round(float(y), 5)) for x, y in points[kept])


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _from_uniform(ordered: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance of ascending (n,) values in 0 to 1 from the uniform distribution.

    A tied value's distribution jumps once, from the share below it to the share up to it.
    """
    below = np.searchsorted(ordered, ordered, side="left") / len(ordered)
    up_to = np.searchsorted(ordered, ordered, side="right") / len(ordered)
    return float(np.maximum(np.abs(ordered - below), np.abs(ordered - up_to)).max())
