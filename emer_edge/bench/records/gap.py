"""Whether the gap between felt and shown emotion tells where annotators saw two emotions."""

from __future__ import annotations

from emer_edge.bench.records.base import Estimated, Record

__all__ = ["GapAccuracy", "GapBin"]


class GapBin(Record, frozen=True):
    """A fifth of the clips, by their gap.

    Attributes:
        low, high: smallest and largest gap in it.
        clips: clips in it.
        mean: their mean gap.
        disagreeing: share whose labels differ, with its interval.
    """

    low: float
    high: float
    clips: int
    mean: float
    disagreeing: Estimated


class GapAccuracy(Record, frozen=True):
    """The gap against the labels: do ER-7 and FER-7 of a clip differ?

    Attributes:
        clips: clips with both labels.
        disagreeing: share whose two labels differ.
        auroc: share of pairs of a clip whose labels differ and one whose labels agree in which the former has the
            larger gap; 0.5 is chance. None where all differ or all agree.
        mean_agreeing, mean_disagreeing: mean gap of either kind; None where there is none.
        bins: fifths of the clips by their gap, ascending: the share that disagrees should rise.
        uniformity: largest distance (Kolmogorov-Smirnov, 0 to 1) between the distribution of the gap's percentiles
            among clips whose labels agree and the uniform one that percentiles promise; None where the bundle gives
            none.
        uniformity_clips: clips it was taken over.
        roc: false alarm rate and hit rate at falling thresholds of the gap, from (0, 0) to (1, 1) in at most 100
            steps; empty where all differ or all agree.
    """

    clips: int
    disagreeing: float
    auroc: Estimated | None
    mean_agreeing: float | None
    mean_disagreeing: float | None
    bins: tuple[GapBin, ...]
    uniformity: float | None
    uniformity_clips: int
    roc: tuple[tuple[float, float], ...] = ()
