"""How long things take (parts, closed loop, several streams, starting, the live pipeline), and on what machine."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from emer_edge.bench.records import Record
from emer_edge.metrics.latency import LatencyRecorder, LatencySummary, summarise


class Latency(Record, frozen=True):
    """Durations of one thing done again and again, one after the other.

    Attributes:
        count: durations measured.
        warmup: runs before them that don't count.
        p50_ms, p90_ms, p99_ms: nearest-rank percentiles, no outliers removed.
        min_ms, max_ms: extremes.
        bins: the whole distribution, pairs of bin and count: bin k holds durations in (10^((k-1)/20), 10^(k/20)] ms;
            empty where it was not kept.
    """

    count: int
    warmup: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    max_ms: float
    bins: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, summary: LatencySummary, warmup: int = 0, bins: Iterable[tuple[int, int]] = ()) -> Latency:
        """From the percentiles that were measured."""
        return cls(warmup=warmup, bins=tuple(bins), **summary.to_dict())  # type: ignore[arg-type]

    @classmethod
    def of_durations(cls, durations_ns: Iterable[int], warmup: int = 0) -> Latency:
        """From every duration in nanoseconds; raise ConfigurationError when there is none."""
        durations, recorder = list(durations_ns), LatencyRecorder()
        for duration in durations:
            recorder.record(duration)
        return cls.of(summarise(durations), warmup, recorder.bins())


class Loading(Record, frozen=True):
    """Opening the bundle in a process of its own.

    Attributes:
        start_ms: starting Python and importing what a session needs.
        verify_ms: reading the manifest and hashing every file.
        open_ms: loading all three parts into the engine.
        first_step_ms: the first encode and fuse, nothing warm.
        rss_mb: resident memory after that, in 10^6 bytes; None where the system does not report it.
    """

    start_ms: float
    verify_ms: float
    open_ms: float
    first_step_ms: float
    rss_mb: float | None


class FirstResult(Record, frozen=True):
    """From starting the process to its first result: Python, imports, verifying, loading, one step.

    Attributes:
        cold_ms: starts after the bundle's files were dropped from the page cache, in order; Python and its libraries
            stay in it.
        warm_ms: starts with everything in the page cache.
        reason: why there is no cold start; empty where there is.
    """

    cold_ms: tuple[float, ...]
    warm_ms: tuple[float, ...]
    reason: str = ""


class Stability(Record, frozen=True):
    """Whether a closed loop ran under one condition from beginning to end.

    Attributes:
        stable: there is no reason against it.
        reasons: against it.
        drift: median of the second half over that of the first, less 1.
        spread: interquartile range over the median.
        cpu_share: processor time of the process over elapsed time; None where it does not matter (several threads, or
            an accelerator).
    """

    stable: bool
    reasons: tuple[str, ...]
    drift: float
    spread: float
    cpu_share: float | None


class Energy(Record, frozen=True):
    """The energy of a closed loop.

    Attributes:
        source: the sensor, and what it sees; empty without one.
        millijoules: per result, everything that the sensor sees included.
        above_idle_millijoules: per result, less what was drawn in the same time with nothing to do.
        mean_mw, idle_mw: mean power in the loop, and before it.
        reason: why there is no figure; empty where there is.
    """

    source: str = ""
    millijoules: float | None = None
    above_idle_millijoules: float | None = None
    mean_mw: float | None = None
    idle_mw: float | None = None
    reason: str = ""


class SingleStream(Record, frozen=True):
    """MLPerf Inference's SingleStream: closed loop, batch 1, the next query issued when the last is done.

    Attributes:
        queries: that were done, drawn from prepared crops and windows at random.
        seconds: from the first query of each turn to the end of its last, all turns together.
        turns: 1, or more when several bundles took turns.
        min_seconds, min_queries: that were requested.
        latency: of a query.
        p90_claimed_ms, p99_claimed_ms: what early stopping lets one claim at 99 % confidence, never below the sample's
            own percentile; None with fewer than 64 or 662 queries.
        discarded: slowest queries left out of the p90's claim.
        queries_per_s: done in a second.
        valid: the p90 can be claimed, and both minima were met.
        mlperf: valid, and it lasted the 600 s that MLPerf requires.
        reason: why it is not valid, or not of MLPerf's length; empty where it is both.
        stability: whether conditions held.
        energy: per result.
    """

    queries: int
    seconds: float
    turns: int
    min_seconds: float
    min_queries: int
    latency: Latency
    p90_claimed_ms: float | None
    p99_claimed_ms: float | None
    discarded: int
    queries_per_s: float
    valid: bool
    mlperf: bool
    reason: str
    stability: Stability
    energy: Energy


class SeveralStreams(Record, frozen=True):
    """A live step of several people at once: as many crops encoded and windows fused, in one call each.

    Attributes:
        streams: people.
        latency: of the whole step.
        per_stream_ms: its median over the number of streams.
        against_one: `per_stream_ms` over that of one stream; None where one was not measured.
        most_streams: how many such streams one hop leaves time for, by the median: the engine's share alone, without
            cameras, trackers and faces to be found.
    """

    streams: int
    latency: Latency
    per_stream_ms: float
    against_one: float | None
    most_streams: int


class Ratio(Record, frozen=True):
    """The same part of two bundles that took turns.

    Attributes:
        part: what was timed.
        bundle, base: the time of `bundle` is divided by that of `base`.
        ratio: median over the turns of the ratio of their medians; below 1, `bundle` is faster.
        low, high: quartiles of the turns' ratios.
        turns: how many.
    """

    part: str
    bundle: str
    base: str
    ratio: float
    low: float
    high: float
    turns: int


class Streaming(Record, frozen=True):
    """The live pipeline on simulated sensors.

    Attributes:
        seconds: how long.
        frame_rate_hz, sample_rate_hz: of the sensors.
        frames, samples, results: items taken and results given.
        states: state -> results.
        stages: stage -> latency; `total` is the step latency, deadline to result.
        ages: how old the newest evidence was when its window ended.
        dropped: place -> count.
        cpu_share: processor time over elapsed time; 1 is one core.
        rss_mb, peak_rss_mb: resident memory at the end and at most, in 10^6 bytes.
        streams: people at once, each with a camera and a tracker; counts are sums over them, `cpu_share` is all of it,
            and `wait`, `encode`, `fuse` and `total` are of the one step for all.
        end_to_end: end-to-end latency, the newest frame's capture to its result: age of the face, arrival allowance and
            step latency of each result; None in older reports.
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
    streams: int = 1
    end_to_end: Latency | None = None


class Environment(Record, frozen=True, kw_only=True):
    """The machine; None or empty where it does not report it.

    Attributes:
        machine: board or architecture.
        kernel: system and release.
        cpu: processor model.
        cpu_flags: what it has of the instructions that matter here, for example `avx512_vnni`, `amx_int8`, `asimddp`.
        hypervisor: it is a virtual machine, whose neighbours can't be seen.
        cores: logical cores that this process may use.
        affinity: which ones, for example `0-3,6`.
        governor: frequency governor of the first core.
        boost: clocks above the nominal one are allowed.
        memory_mb: of the machine, in 10^6 bytes.
        l4t, jetpack, power_mode: of a Jetson.
        load_average: of the last minute when bench began: others' work slows ours.
        temperature_before_c, temperature_after_c: hottest thermal zone.
        versions: package -> version.
    """

    machine: str
    kernel: str = ""
    cpu: str | None
    cpu_flags: tuple[str, ...] = ()
    hypervisor: bool | None = None
    cores: int
    affinity: str | None = None
    governor: str | None
    boost: bool | None = None
    memory_mb: float | None
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    load_average: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    versions: dict[str, str]


class Moment(Record, frozen=True):
    """How the machine was at one time; None or empty where it does not report it.

    Attributes:
        clocks_mhz: clock -> where it stood.
        temperature_c: of the hottest thermal zone.
        slowed: what was held back because of heat, with its step.
        over_current: how often clocks were cut because of too much current, since the start of the machine.
        power_mode: a Jetson's.
        power_mw: of the whole board.
        load_average: of the last minute.
    """

    clocks_mhz: dict[str, int] = msgspec.field(default_factory=dict)
    temperature_c: float | None = None
    slowed: tuple[str, ...] = ()
    over_current: int | None = None
    power_mode: str | None = None
    power_mw: float | None = None
    load_average: float | None = None


class Conditions(Record, frozen=True):
    """How the machine was while latencies were measured.

    Attributes:
        before, after: at both ends.
        moments: how often it was looked at.
        clocks_mhz: clock -> lowest and highest seen.
        hottest_c: highest temperature seen.
        highest_mw: highest power seen.
        slowed: everything that was ever held back because of heat.
        changed: what speaks against comparing the figures, in words.
    """

    before: Moment
    after: Moment
    moments: int
    clocks_mhz: dict[str, tuple[int, int]]
    hottest_c: float | None
    highest_mw: float | None
    slowed: tuple[str, ...]
    changed: tuple[str, ...]
