"""Scores of a report in which every record is set."""

from __future__ import annotations

import numpy as np

from emer_edge.bench.records import (
    Accuracy,
    Estimated,
    EventColumn,
    Excluded,
    GapAccuracy,
    GapBin,
    HeadAccuracy,
    ParticipantFigure,
    ParticipantSpread,
    Ranged,
    ReadingAccuracy,
    ViewAccuracy,
)
from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.spec.heads import HEADS, PROTOCOLS, ClassHead

_PROTOCOL = {head: each.name for each in PROTOCOLS for head in each.heads}


def estimated(value: float, width: float) -> Estimated:
    return Estimated(value=value, low=value - width, high=value + width)


def head_accuracy(name: str, rng: np.random.Generator, skill: float) -> HeadAccuracy:
    head = HEADS[name]
    people = tuple(
        ParticipantFigure(participant=f"P{at:03d}", clips=10, value=float(np.clip(rng.normal(skill, 0.15), 0, 1)))
        for at in range(24)
    )
    values = np.array([each.value for each in people])
    five = dict(
        zip(("min", "q1", "median", "q3", "max"), np.percentile(values, (0, 25, 50, 75, 100)).tolist(), strict=True)
    )
    if isinstance(head, ClassHead):
        size = len(head.classes)
        counts = rng.poisson(3, (size, size)) + np.diag(rng.poisson(60 * skill / size, size))
        war = float(np.trace(counts) / counts.sum())
        metrics = {"war": war, "uar": war - 0.02, "weighted_f1": war - 0.01, "ece": 0.07, "nll": 1.2, "brier": 0.6}
        baselines = {
            "training majority": {"war": 0.3, "uar": 1 / size, "weighted_f1": 0.12},
            "uniform chance": {"war": 1 / size, "uar": 1 / size, "weighted_f1": 1 / size},
        }
        bins = tuple(
            ReliabilityBin(at / 10, (at + 1) / 10, 10 + at, at / 10 + 0.05, min(at / 10 + 0.1 * skill, 1.0))
            for at in range(2, 10)
        )
        extra = {"classes": head.classes, "confusion": tuple(map(tuple, counts.tolist())), "reliability": bins}
    else:
        metrics = {"mae": 0.9 - skill, "mse": 0.4, "rmse": 0.63, "ccc": skill - 0.2, "pearson": skill - 0.1}
        baselines = {"training mean": {"mae": 0.55, "mse": 0.5, "rmse": 0.7, "ccc": 0.0}}
        extra = {}
    figures = {key: estimated(value, 0.04) for key, value in metrics.items()}
    main = "war" if "war" in metrics else "mae"
    drawn = {main: Ranged(mean=metrics[main] - 0.01, sd=0.008, lowest=0.2, highest=0.8, count=10)}
    readings = {
        "draws": ReadingAccuracy(clips=240, without=0, windows=2400, metrics=figures, over_draws=drawn),
        "live": ReadingAccuracy(clips=230, without=10, windows=1730, metrics=figures),
    }
    return HeadAccuracy(
        protocol=_PROTOCOL[name],
        clips=240,
        metrics=figures,
        published_batch={main: Ranged(mean=metrics[main] + 0.02, sd=0.011, lowest=0.3, highest=0.9, count=20)},
        readings=readings,
        baselines=baselines,
        participants=ParticipantSpread(metric=main, figures=people, **five),
        fp32_selection={main: 0.61},
        final_selection={main: 0.6},
        **extra,  # type: ignore[arg-type]
    )


def gap_accuracy() -> GapAccuracy:
    bins = tuple(
        GapBin(low=at / 6, high=(at + 1) / 6, clips=48, mean=(at + 0.5) / 6, disagreeing=estimated(0.2 + at / 10, 0.08))
        for at in range(5)
    )
    return GapAccuracy(
        clips=240,
        disagreeing=0.41,
        auroc=estimated(0.713, 0.05),
        mean_agreeing=0.31,
        mean_disagreeing=0.52,
        bins=bins,
        uniformity=0.084,
        uniformity_clips=140,
        roc=((0.0, 0.0), (0.2, 0.6), (0.5, 0.8), (1.0, 1.0)),
    )


def accuracy(fold: int, skill: float, seed: int) -> Accuracy:
    rng = np.random.default_rng(seed)
    heads = {name: head_accuracy(name, rng, skill) for name in HEADS}
    thin = {name: each.metrics for name, each in heads.items()}
    views = (
        ViewAccuracy(
            name="serial-xy",
            about="one gaze point",
            rate_hz=60.0,
            missing=("a", "b"),
            events="causal",
            uncovered=2,
            heads=thin,
        ),
    )
    return Accuracy(
        fold=fold,
        fingerprint="fingerprint-of-data",
        split_hash=f"split-of-{fold}",
        events="causal",
        clips=240,
        participants=24,
        uncovered=3,
        excluded=(Excluded(clip="clip-7", reason="no eye sheet at all"),),
        heads=heads,
        clips_per_s=11.5,
        gap=gap_accuracy(),
        views=views,
        event_columns={"column-33": EventColumn(same=0.91, mean_difference=1.5, mean_published=80.0, slots=7680)},
    )
