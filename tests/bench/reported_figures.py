from __future__ import annotations

import numpy as np

from emer_edge.bench.records import Estimated, Excluded
from emer_edge.bench.records.accuracy_records import (
    Accuracy,
    EventColumn,
    GapAccuracy,
    GapBin,
    HeadAccuracy,
    ParticipantFigure,
    ParticipantSpread,
    Ranged,
    ReadingAccuracy,
    ViewAccuracy,
)
from emer_edge.bench.records.latency_records import Energy, Latency, SingleStream, Stability, Streaming
from emer_edge.bench.records.probe_records import (
    Ablation,
    Curve,
    Effect,
    FilmBaseline,
    FilmDecoding,
    FilmFigures,
    FilmProbe,
    Level,
    Probes,
)
from emer_edge.core.heads import HEADS, PROTOCOLS, ClassHead
from emer_edge.metrics.probabilities import ReliabilityBin

_PROTOCOL = {head: protocol.name for protocol in PROTOCOLS for head in protocol.heads}


def estimated(value: float, width: float) -> Estimated:
    return Estimated(value=value, low=value - width, high=value + width)


def head_accuracy(name: str, rng: np.random.Generator, skill: float) -> HeadAccuracy:
    head = HEADS[name]
    people = tuple(
        ParticipantFigure(participant=f"P{at:03d}", clips=10, value=float(np.clip(rng.normal(skill, 0.15), 0, 1)))
        for at in range(24)
    )
    values = np.array([person.value for person in people])
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
    thin = {name: head.metrics for name, head in heads.items()}
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


def effects(change: float) -> dict[str, dict[str, Effect]]:
    def effect(value: float, by: float) -> Effect:
        return Effect(value=estimated(value + by, 0.05), change=estimated(by, 0.03), sd=0.007)

    return {
        name: {"war": effect(0.6, -change), "uar": effect(0.58, -change)}
        if isinstance(head, ClassHead)
        else {"mae": effect(0.3, change / 2)}
        for name, head in HEADS.items()
    }


def probes() -> Probes:
    ablations = tuple(
        Ablation(name=name, about=f"about {name}", takes=takes, permutations=draws, clips=236, heads=effects(change))
        for name, takes, draws, change in (
            ("no eyes", "eyes", 0, 0.11),
            ("no face", "face", 0, 0.31),
            ("no gaze", "gaze", 0, 0.02),
            ("eyes of same film and face", "eyes", 20, 0.04),
        )
    )
    known = {name: effect for name, effect in effects(0.2).items() if name == "er-7"}
    films = FilmProbe(
        note="may decode the film",
        reason="every film was trained on",
        decoding=FilmDecoding(
            films=12,
            clips=240,
            participants=24,
            folds=6,
            features=64,
            share=estimated(0.214, 0.05),
            chance=0.083,
            chance_sd=0.015,
            p=0.005,
            permutations=200,
        ),
        baselines=(FilmBaseline(name="induced emotion", about="what the film induces", clips=220, heads=known),),
        by_film=(
            FilmFigures(
                film="film-9", induced="fear", clips=20, trained_on=80, heads={"er-7": 0.55, "er-valence": 0.3}
            ),
        ),
        over_films={"er-7": estimated(0.571, 0.06)},
        unseen_films={"er-7": {"war": estimated(0.433, 0.09)}},
        unseen_clips=31,
    )
    curves = tuple(
        Curve(
            name=name,
            about=f"about {name}",
            axis=axis,
            unit=unit,
            touches="eyes",
            clips=240,
            levels=tuple(Level(level=level, uncovered=int(level), heads=effects(level / 100)) for level in levels),
        )
        for name, axis, unit, levels in (
            ("tracker noise", "noise", "px", (0.0, 10.0, 20.0, 40.0)),
            ("low light", "light taken", "stops", (0.0, 1.0, 2.0, 3.0)),
        )
    )
    return Probes(seed=7, ablations=ablations, films=films, curves=curves)


def latency(p50_ms: float, seed: int, count: int = 400) -> Latency:
    rng = np.random.default_rng(seed)
    return Latency.of_durations((p50_ms * 1e6 * (0.9 + rng.gamma(2, 0.06, count))).astype(int).tolist(), 5)


def single_stream(p50_ms: float, seed: int, stable: bool) -> SingleStream:
    took = latency(p50_ms, seed)
    reasons = () if stable else ("the second half was 9 % slower",)
    return SingleStream(
        queries=took.count,
        seconds=10.2,
        turns=2,
        min_seconds=10.0,
        min_queries=64,
        latency=took,
        p90_claimed_ms=took.p90_ms * 1.01,
        p99_claimed_ms=None,
        discarded=31,
        queries_per_s=88.8,
        valid=True,
        mlperf=False,
        reason="shorter than 600 s",
        stability=Stability(stable=stable, reasons=reasons, drift=0.09, spread=0.04, cpu_share=0.99),
        energy=Energy(
            source="INA3221, the whole board",
            millijoules=41.7,
            above_idle_millijoules=22.2,
            mean_mw=6100.0,
            idle_mw=3300.0,
        ),
    )


def streaming(streams: int, stages: dict[str, Latency]) -> Streaming:
    return Streaming(
        seconds=20.0,
        frame_rate_hz=30.0,
        sample_rate_hz=120.0,
        frames=600 * streams,
        samples=2400 * streams,
        results=17 * streams,
        states={"ok": 14 * streams, "filling": 3 * streams},
        stages=stages,
        ages={"face age": latency(20, 9)},
        dropped={"camera ring": 1},
        cpu_share=0.23 * streams,
        rss_mb=160,
        peak_rss_mb=166,
        streams=streams,
    )
