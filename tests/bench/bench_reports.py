"""A report in which every record is set, with figures that differ from each other."""

from __future__ import annotations

import msgspec
from reported_figures import accuracy, estimated, gap_accuracy, latency, probes, single_stream, streaming

from emer_edge.bench.records.accuracy_records import FoldSet, FoldSpread, PairedSets
from emer_edge.bench.records.latency_records import (
    Conditions,
    Environment,
    FirstResult,
    Loading,
    Moment,
    Ratio,
    SeveralStreams,
)
from emer_edge.bench.records.report_records import (
    BenchReport,
    BundleBench,
    Comparison,
    DataFacts,
    FoldFacts,
    Moved,
    Origin,
)
from emer_edge.core.heads import HEADS, PROTOCOLS

EVIL = "<script>alert('&')</script>\"|*_[x](http://evil.example)"


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
            heads={head.name: getattr(head, "classes", ()) for head in HEADS.values()},
            protocols=tuple(protocol.name for protocol in PROTOCOLS),
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
                values=(result.value, result.value + 0.02), mean=result.value + 0.01, sd=0.0141
            )
            for head, item in heads.items()
            for metric, result in item.metrics.items()
        }
        spread["gap/auroc"] = FoldSpread(values=(0.7, 0.72), mean=0.71, sd=0.0141)
        sets.append(
            FoldSet(
                name=precision,
                bundles=tuple(item.name for item in pair),
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
