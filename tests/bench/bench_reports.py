"""A report in which every record is set, with figures that differ from each other."""

from __future__ import annotations

import msgspec
import numpy as np

from emer_edge.bench.records import (
    Ablation,
    Accuracy,
    BenchReport,
    BundleBench,
    Comparison,
    Conditions,
    Curve,
    DataFacts,
    Effect,
    Energy,
    Environment,
    Estimated,
    EventColumn,
    Excluded,
    FilmBaseline,
    FilmDecoding,
    FilmFigures,
    FilmProbe,
    FirstResult,
    FoldFacts,
    FoldSet,
    FoldSpread,
    GapAccuracy,
    GapBin,
    HeadAccuracy,
    Latency,
    Level,
    Loading,
    Moment,
    Moved,
    Origin,
    PairedSets,
    ParticipantFigure,
    ParticipantSpread,
    Probes,
    Ranged,
    Ratio,
    ReadingAccuracy,
    SeveralStreams,
    SingleStream,
    Stability,
    Streaming,
    ViewAccuracy,
)
from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.spec.heads import HEADS, PROTOCOLS, ClassHead

EVIL = "<script>alert('&')</script>\"|*_[x](http://evil.example)"

_PROTOCOL = {head: each.name for each in PROTOCOLS for head in each.heads}


def estimated(value: float, width: float) -> Estimated:
    return Estimated(value=value, low=value - width, high=value + width)


def latency(p50_ms: float, seed: int, count: int = 400) -> Latency:
    rng = np.random.default_rng(seed)
    return Latency.of_durations((p50_ms * 1e6 * (0.9 + rng.gamma(2, 0.06, count))).astype(int).tolist(), 5)


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
    known = {name: each for name, each in effects(0.2).items() if name == "er-7"}
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


def bundle(name: str, precision: str, fold: int, scale: float, skill: float) -> BundleBench:
    stages = {
        stage: latency(ms * scale, at) for at, (stage, ms) in enumerate((("face", 3.0), ("step", 4.0), ("total", 9.0)))
    }
    return BundleBench(
        name=name,
        path=f"/bundles/{name}.emer",
        size_bytes=31_000_000,
        precision={"face_encoder": precision, "fusion": precision},
        engine="onnxruntime",
        device="cpu",
        threads=1,
        demo=True,
        loading=Loading(start_ms=210, verify_ms=33, open_ms=140, first_step_ms=17.5, rss_mb=155),
        first_result=FirstResult(cold_ms=(911.0, 905.0), warm_ms=(402.0, 400.0, 399.0)),
        latency={"live step": latency(4 * scale, 1), "whole window": latency(25 * scale, 2)},
        single_stream={"live step": single_stream(4 * scale, 3, fold == 1)},
        several_streams=tuple(
            SeveralStreams(
                streams=n,
                latency=latency(4 * scale * n, n),
                per_stream_ms=4 * scale / n**0.1,
                against_one=n**-0.1,
                most_streams=100 // n,
            )
            for n in (1, 2, 4, 8)
        ),
        streaming=streaming(1, stages),
        live_streams=(streaming(4, stages),),
        accuracy=accuracy(fold, skill, fold),
        notes=("demo weights, trained on synthetic clips",),
        probes=probes(),
        origin=Origin(
            created="2026-01-01T00:00:00Z",
            heads={each.name: getattr(each, "classes", ()) for each in HEADS.values()},
            protocols=tuple(each.name for each in PROTOCOLS),
            window_s=12.0,
            hop_s=0.5,
            events="causal",
            requested=precision,
            calibration="minmax" if precision == "int8" else "",
            calibration_windows=256,
            calibration_participants=48,
            gate="passed",
            gate_windows=512,
            gate_clips=200,
            gate_participants=19,
            training_clips=700,
            selection_clips=140,
            held_out=fold,
            fingerprint="fingerprint-of-data",
            synthetic=True,
            research_only=True,
            versions={"onnx": "1.17"},
        ),
    )


def everything(name: str = "emert") -> BenchReport:
    """Two precisions on two folds each, everything asked for, an older report to compare with."""
    bundles = tuple(
        bundle(f"{name}-{precision}-{fold}", precision, fold, scale, skill)
        for precision, scale, skill in (("fp32", 1.0, 0.62), ("int8", 0.31, 0.6))
        for fold in (1, 2)
    )
    sets = []
    for at, precision in enumerate(("fp32", "int8")):
        pair = bundles[2 * at : 2 * at + 2]
        heads = pair[0].accuracy.heads if pair[0].accuracy else {}
        spread = {
            f"{head}/newest/{metric}": FoldSpread(
                values=(found.value, found.value + 0.02), mean=found.value + 0.01, sd=0.0141
            )
            for head, each in heads.items()
            for metric, found in each.metrics.items()
        }
        spread["gap/auroc"] = FoldSpread(values=(0.7, 0.72), mean=0.71, sd=0.0141)
        sets.append(
            FoldSet(
                name=precision,
                bundles=tuple(each.name for each in pair),
                folds=(1, 2),
                clips=480,
                participants=48,
                spread=spread,
                pooled=heads,
                gap=gap_accuracy(),
            )
        )
    pairs = tuple(
        PairedSets(
            first="fp32",
            second="int8",
            head=head,
            clips=480,
            participants=48,
            both=260,
            only_first=21,
            only_second=14,
            neither=185,
            mcnemar_p=0.31,
            change={"war": estimated(-0.012, 0.02)} if "7" in head else {"mae": estimated(0.01, 0.02)},
        )
        for head in ("er-7", "er-valence")
    )
    moments = [
        Moment(clocks_mhz={"cpu0": mhz}, temperature_c=50.0, load_average=load, power_mw=5000.0)
        for mhz, load in ((1500, 0.1), (1400, 0.9))
    ]
    return BenchReport(
        created="2026-01-02T03:04:05+00:00",
        options={"data": "/data/emer", "warmup": 5, "resamples": 1000, "seed": 11},
        environment=Environment(
            machine="NVIDIA Jetson Orin Nano",
            kernel="Linux 5.15",
            cpu="Cortex-A78AE",
            cpu_flags=("asimddp",),
            hypervisor=False,
            cores=6,
            affinity="0-5",
            governor="performance",
            boost=True,
            memory_mb=7620.0,
            l4t="36.4",
            jetpack="6.1",
            power_mode="15W",
            load_average=0.4,
            temperature_before_c=44.0,
            temperature_after_c=58.5,
            versions={"emer-edge": "9.9.9", "onnxruntime": "1.20"},
        ),
        conditions=Conditions(
            before=moments[0],
            after=moments[1],
            moments=40,
            clocks_mhz={"cpu0": (1200, 1510)},
            hottest_c=61.2,
            highest_mw=9100.0,
            slowed=("cpu-throttle step 2",),
            changed=("the clock of cpu0 fell",),
        ),
        data=DataFacts(
            fingerprint="fingerprint-of-data",
            clips=1331,
            participants=121,
            skipped=4,
            folds=(FoldFacts(fold=1, clips=240, participants=24), FoldFacts(fold=2, clips=240, participants=24)),
            regrouped=False,
            shared_participants=0,
            stimuli=12,
            labels={"er-7": {"fear": 211}},
            synthetic=True,
        ),
        bundles=bundles,
        ratios=(Ratio(part="live step", bundle="int8", base="fp32", ratio=0.312, low=0.3, high=0.33, turns=12),),
        against=Comparison(
            path="old/report.json",
            created="2025-12-01",
            max_regression=0.1,
            incomparable=("another data set",),
            figures=(
                Moved(bundle="int8", figure="latency/live step/p50_ms", old=1.1, new=1.4, change=0.27, verdict="worse"),
            ),
        ),
        sets=tuple(sets),
        pairs=pairs,
        notes=("two participants have clips in several folds",),
    )


def bare() -> BenchReport:
    """One bundle, parts timed, nothing else."""
    full = everything()
    only = msgspec.structs.replace(
        full.bundles[0],
        first_result=None,
        single_stream={},
        several_streams=(),
        streaming=None,
        accuracy=None,
        notes=(),
        probes=None,
        origin=None,
        demo=False,
    )
    return BenchReport(created=full.created, options={"warmup": 5}, environment=full.environment, bundles=(only,))
