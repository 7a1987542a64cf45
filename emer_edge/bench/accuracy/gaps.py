"""The gap between felt and shown emotion against the two labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.judged import JudgedHead
from emer_edge.bench.accuracy.known import owner
from emer_edge.bench.records import Estimated, GapAccuracy, GapBin
from emer_edge.data.clips import Clip
from emer_edge.metrics.gap import auroc, gap_percentile, js_distance, roc
from emer_edge.metrics.intervals import Interval, bootstrap, bootstrap_difference, bootstrap_sums

__all__ = ["JudgedGap", "auroc_change", "gap_accuracy", "join_gaps", "judge_gap"]

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


def judge_gap(heads: Mapping[str, JudgedHead], quantiles: Sequence[float]) -> JudgedGap | None:
    """Put the gap beside the labels.

    Args:
        heads: the judged heads of a fold.
        quantiles: the manifest's `gap_quantiles`, which may be empty.

    Returns:
        None unless both seven-class heads exist with the same classes and a clip has both labels.
    """
    er, fer = heads.get("er-7"), heads.get("fer-7")
    if er is None or fer is None or er.classes != fer.classes:
        return None
    at = {clip.name: index for index, clip in enumerate(fer.clips)}
    both = [(index, at[clip.name]) for index, clip in enumerate(er.clips) if clip.name in at]
    if not both:
        return None
    felt, shown = (np.array(each) for each in zip(*both, strict=True))
    distances = js_distance(er.given["newest"][felt], fer.given["newest"][shown])
    percentiles = [gap_percentile(each, quantiles) for each in distances.tolist()]
    return JudgedGap(
        tuple(er.clips[index] for index in felt),
        distances,
        np.array([math.nan if each is None else each for each in percentiles]),
        np.asarray(er.truth[felt] != fer.truth[shown]),
    )


def join_gaps(parts: Sequence[JudgedGap]) -> JudgedGap:
    """The gap over several folds, each by its own bundle."""
    return JudgedGap(
        tuple(clip for each in parts for clip in each.clips),
        np.concatenate([each.distances for each in parts]),
        np.concatenate([each.percentiles for each in parts]),
        np.concatenate([each.differ for each in parts]),
    )


def gap_accuracy(gap: JudgedGap, resamples: int, seed: int) -> GapAccuracy:
    """Work out the record; intervals are over participants."""
    people = [owner(clip) for clip in gap.clips]
    found = bootstrap(auroc, people, gap.differ, gap.distances, resamples=resamples, seed=seed)
    agreeing = gap.percentiles[~gap.differ]
    agreeing = np.sort(agreeing[np.isfinite(agreeing)]) / 100
    return GapAccuracy(
        clips=len(gap.clips),
        disagreeing=float(gap.differ.mean()),
        auroc=Estimated.of(found) if math.isfinite(found.value) else None,
        mean_agreeing=_mean(gap.distances[~gap.differ]),
        mean_disagreeing=_mean(gap.distances[gap.differ]),
        bins=tuple(
            _bin(gap, rows, people, resamples, seed)
            for rows in np.array_split(np.argsort(gap.distances, kind="stable"), _BINS)
            if len(rows)
        ),
        uniformity=_from_uniform(agreeing) if len(agreeing) else None,
        uniformity_clips=len(agreeing),
        roc=_thinned(roc(gap.differ, gap.distances)),
    )


def auroc_change(first: JudgedGap, second: JudgedGap, resamples: int, seed: int) -> Interval:
    """The second's AUROC minus the first's, given the same clips in the same order; paired over participants."""
    people = [owner(clip) for clip in first.clips]
    return bootstrap_difference(
        auroc, people, first.differ, first.distances, second.distances, resamples=resamples, seed=seed
    )


def _bin(gap: JudgedGap, rows: NDArray[np.int64], people: Sequence[str], resamples: int, seed: int) -> GapBin:
    totals = np.stack([gap.differ[rows].astype(np.float64), np.ones(len(rows))], axis=1)
    share = bootstrap_sums(
        lambda sums: sums[..., 0] / sums[..., 1], [people[at] for at in rows], totals, resamples, seed=seed
    )
    inside = gap.distances[rows]
    return GapBin(
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
