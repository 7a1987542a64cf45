"""What bench writes: `report.json`, schema `emer-edge/bench/1` (docs/bench-report.md describes every field).

Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from emer_edge.errors import DataError
from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.metrics.intervals import Interval
from emer_edge.metrics.latency import LatencySummary

__all__ = [
    "SCHEMA",
    "Accuracy",
    "BenchReport",
    "BundleBench",
    "Environment",
    "Estimated",
    "EventColumn",
    "Excluded",
    "FoldSpread",
    "HeadAccuracy",
    "Latency",
    "Loading",
    "Streaming",
    "ViewAccuracy",
]

SCHEMA: Final = "emer-edge/bench/1"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Environment(_Record, frozen=True):
    """The machine; None where it does not tell.

    Attributes:
        machine: board or architecture, kernel.
        cpu: processor model.
        cores: logical cores that this process may use.
        governor: frequency governor of the first core.
        memory_mb: of the machine, in 10^6 bytes.
        load_average: of the last minute when bench began: others' work slows ours.
        temperature_before_c, temperature_after_c: hottest thermal zone.
        versions: package -> version.
    """

    machine: str
    cpu: str | None
    cores: int
    governor: str | None
    memory_mb: float | None
    load_average: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    versions: dict[str, str]


class Latency(_Record, frozen=True):
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


class Loading(_Record, frozen=True):
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


class Streaming(_Record, frozen=True):
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


class Estimated(_Record, frozen=True):
    """A figure and its 95 % interval, by bootstrap over participants; no limits with fewer than two of them."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Estimated:
        """From an interval."""
        limits = [each if math.isfinite(each) else None for each in (interval.low, interval.high)]
        return cls(value=interval.value, low=limits[0], high=limits[1])


class HeadAccuracy(_Record, frozen=True):
    """One head on the held-out fold.

    Attributes:
        protocol: the protocol it belongs to.
        clips: clips with a label for it.
        metrics: exact metrics over all these clips.
        published_batch: the published scripts' reduction: per batch of 16 in clip order, averaged.
        classes: class names; empty for a value head.
        confusion: rows true, columns predicted; empty for a value head.
        reliability: calibration of the top class; empty for a value head.
        fp32_selection, final_selection: the same metrics that export measured on its selection windows, before and
            after quantisation.
    """

    protocol: str
    clips: int
    metrics: dict[str, Estimated]
    published_batch: dict[str, float]
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    fp32_selection: dict[str, float] = {}
    final_selection: dict[str, float] = {}


class Excluded(_Record, frozen=True):
    """A clip that was not scored, and why."""

    clip: str
    reason: str


class ViewAccuracy(_Record, frozen=True):
    """The same clips through another tracker, or with the other rule of eye movements.

    Attributes:
        name: the tracker profile's, or `causal events`, `published events`.
        about: what it stands for.
        rate_hz: rows a second at most; None where the sheets' own rows are taken.
        missing: keys of the columns that it can't fill.
        events: how columns 33 to 39 were filled.
        uncovered: clips whose window is below the floor of eye slots: a live run would name no emotion there.
        heads: head -> metric -> figure, over the clips that the accuracy itself is about.
    """

    name: str
    about: str
    rate_hz: float | None
    missing: tuple[str, ...]
    events: Literal["causal", "published"]
    uncovered: int
    heads: dict[str, dict[str, Estimated]]


class EventColumn(_Record, frozen=True):
    """A column of eye movements, as computed causally and as the sheets hold it.

    Attributes:
        same: share of slots with the same value, to 0.5 px or ms, 0.005 MCS.
        mean_difference: mean absolute difference.
        mean_published: mean absolute value in the sheets.
        slots: how many slots of windows were compared.
    """

    same: float
    mean_difference: float
    mean_published: float
    slots: int


class Accuracy(_Record, frozen=True):
    """The held-out fold, scored once.

    Attributes:
        fold: 1 to 5.
        fingerprint: of the data set.
        events: how columns 33 to 39 were filled.
        clips, participants: that were scored.
        uncovered: clips among them whose window is below the coverage floors: a live run would name no emotion there.
        excluded: clips that were not.
        heads: head -> figures.
        clips_per_s: scoring speed.
        views: the same clips through the tracker profiles asked for, and with the other rule of eye movements.
        event_columns: key of columns 33 to 39 -> how the causal rule's differ from the sheets'; empty where the sheets
            hold no eye movements.
    """

    fold: int
    fingerprint: str
    events: Literal["causal", "published"]
    clips: int
    participants: int
    uncovered: int
    excluded: tuple[Excluded, ...]
    heads: dict[str, HeadAccuracy]
    clips_per_s: float
    views: tuple[ViewAccuracy, ...] = ()
    event_columns: dict[str, EventColumn] = {}


class BundleBench(_Record, frozen=True):
    """One bundle.

    Attributes:
        name: its name.
        path: its folder.
        size_bytes: all its files.
        precision: part -> precision, of the variant that ran.
        engine, device: what computed.
        threads: CPU threads.
        demo: demo weights.
        loading, latency, streaming, accuracy: see their classes; None where not asked for.
        notes: what a reader should know.
    """

    name: str
    path: str
    size_bytes: int
    precision: dict[str, str]
    engine: str
    device: str
    threads: int
    demo: bool
    loading: Loading
    latency: dict[str, Latency]
    streaming: Streaming | None
    accuracy: Accuracy | None
    notes: tuple[str, ...] = ()


class FoldSpread(_Record, frozen=True):
    """One metric over the folds of several bundles.

    Attributes:
        values: one a bundle, in the order of the bundles.
        mean: their mean.
        sd: their standard deviation with n - 1; None for one.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None


class BenchReport(_Record, frozen=True, kw_only=True):
    """Everything.

    Attributes:
        schema: `emer-edge/bench/1`.
        created: UTC, ISO 8601.
        options: as asked for.
        environment: the machine.
        bundles: one record each.
        folds: `<head>/<metric>` -> spread over the bundles' folds; empty for one bundle or without data.
        notes: what a reader should know.
    """

    schema: Literal["emer-edge/bench/1"] = SCHEMA
    created: str
    options: dict[str, str | int | float | bool | None]
    environment: Environment
    bundles: tuple[BundleBench, ...]
    folds: dict[str, FoldSpread] = {}
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Encode, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str = "report.json") -> BenchReport:
        """Decode; raise DataError naming the field that is wrong, or another schema."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{where} is not a report of schema {SCHEMA}: {error}") from None
