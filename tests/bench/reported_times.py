"""Durations of a report in which every record is set."""

from __future__ import annotations

import numpy as np

from emer_edge.bench.records.latency_records import Energy, Latency, SingleStream, Stability, Streaming


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
