"""How long things take: parts, loading, the live pipeline."""

from __future__ import annotations

from emer_edge.bench.records.base import Record
from emer_edge.metrics.latency import LatencySummary

__all__ = ["Latency", "Loading", "Streaming"]


class Latency(Record, frozen=True):
    """Durations of one thing done again and again, one after the other.

    Attributes:
        count: durations measured.
        warmup: runs before them that don't count.
        p50_ms, p90_ms, p99_ms: nearest-rank percentiles, no outliers removed.
        min_ms, max_ms: extremes.
    """

    count: int
    warmup: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    max_ms: float

    @classmethod
    def of(cls, summary: LatencySummary, warmup: int = 0) -> Latency:
        """From the percentiles that were measured."""
        return cls(warmup=warmup, **summary.to_dict())  # type: ignore[arg-type]


class Loading(Record, frozen=True):
    """Opening the bundle in a process of its own.

    Attributes:
        start_ms: starting Python and importing what a session needs.
        verify_ms: reading the manifest and hashing every file.
        open_ms: loading all three parts into the engine.
        first_step_ms: the first encode and fuse, nothing warm.
        rss_mb: resident memory after that, in 10^6 bytes; None where the system does not tell.
    """

    start_ms: float
    verify_ms: float
    open_ms: float
    first_step_ms: float
    rss_mb: float | None


class Streaming(Record, frozen=True):
    """The live pipeline on simulated sensors.

    Attributes:
        seconds: how long.
        frame_rate_hz, sample_rate_hz: of the sensors.
        frames, samples, results: items taken and results given.
        states: state -> results.
        stages: stage -> latency; `total` is hop deadline to result.
        ages: how old the newest evidence was when its window ended.
        dropped: place -> count.
        cpu_share: processor time over elapsed time; 1 is one core.
        rss_mb, peak_rss_mb: resident memory at the end and at most, in 10^6 bytes.
    """

    seconds: float
    frame_rate_hz: float
    sample_rate_hz: float
    frames: int
    samples: int
    results: int
    states: dict[str, int]
    stages: dict[str, Latency]
    ages: dict[str, Latency]
    dropped: dict[str, int]
    cpu_share: float
    rss_mb: float | None
    peak_rss_mb: float | None
