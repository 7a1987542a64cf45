"""The results of one run of bench, where they come from, and what moved since an older report."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from emer_edge.bench.records import Record, latency_records
from emer_edge.bench.records.accuracy_records import Accuracy, FoldSet, PairedSets
from emer_edge.bench.records.probe_records import Probes
from emer_edge.bundle.manifest import Manifest
from emer_edge.core.errors import DataError
from emer_edge.core.standard_streams import to_json
from emer_edge.core.window import NANOSECONDS, EventsRule


class Origin(Record, frozen=True):
    """What a bundle's manifest says of its making.

    Attributes:
        created: UTC, ISO 8601.
        heads: head -> class names in output order; none for a value head.
        protocols: that these heads can be scored by.
        window_s, hop_s: the window, and how often a result comes, in seconds.
        events: how columns 33 to 39 were filled.
        requested: the precision that export was run with.
        calibration: method of the INT8 ranges; empty without INT8.
        calibration_windows, calibration_participants: the data behind them.
        gate: the accuracy gate's verdict.
        gate_windows, gate_clips, gate_participants: that it was judged on.
        training_clips, selection_clips: that the weights were fitted to, and that choices were made on; None where the
            bundle does not say.
        held_out: the fold that was held out; 0 when unknown.
        fingerprint: of the data set that it was trained on; empty when unknown.
        synthetic: trained on this project's own synthetic clips; None when unknown.
        research_only: EMER's agreement covers the data behind it.
        weights: what its face encoder is, where it is the packaged one; else empty.
        versions: tool -> version at export.
    """

    created: str
    heads: dict[str, tuple[str, ...]]
    protocols: tuple[str, ...]
    window_s: float
    hop_s: float
    events: EventsRule
    requested: str
    calibration: str
    calibration_windows: int
    calibration_participants: int
    gate: str
    gate_windows: int
    gate_clips: int
    gate_participants: int
    training_clips: int | None
    selection_clips: int | None
    held_out: int
    fingerprint: str
    synthetic: bool | None
    research_only: bool
    weights: str = ""
    versions: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Origin:
        """From a manifest."""
        calibration, data, gate = manifest.calibration, manifest.data, manifest.gate
        return cls(
            created=manifest.created,
            heads={head.name: head.classes for head in manifest.heads},
            protocols=manifest.protocols,
            window_s=manifest.window.length_ns / NANOSECONDS,
            hop_s=manifest.window.hop_ns / NANOSECONDS,
            events=manifest.events,
            requested=manifest.precision.requested,
            calibration=calibration.method if calibration else "",
            calibration_windows=calibration.windows if calibration else 0,
            calibration_participants=calibration.participants if calibration else 0,
            gate=gate.verdict,
            gate_windows=gate.windows,
            gate_clips=gate.clips,
            gate_participants=gate.participants,
            training_clips=len(data.training_hashes) if data else None,
            selection_clips=len(data.selection_hashes) if data else None,
            held_out=data.fold if data else 0,
            fingerprint=data.fingerprint if data else "",
            synthetic=data.synthetic if data else None,
            research_only=manifest.research_only,
            weights=manifest.weights,
            versions=dict(manifest.versions),
        )


class FoldFacts(Record, frozen=True):
    """One fold of a data set: how many clips of how many participants."""

    fold: int
    clips: int
    participants: int


class DataFacts(Record, frozen=True):
    """The data set that the clips came from.

    Attributes:
        fingerprint: SHA-256 over clip names, folds and labels and the sizes of the sheets.
        clips, participants: that can be used.
        skipped: clips that can't.
        folds: ascending.
        regrouped: the folds are not the data set's own, because participants lay in several of those.
        shared_participants: that have clips in several folds all the same.
        stimuli: films, by the names of clips; 0 where these name none.
        labels: class head -> class -> clips.
        synthetic: this project's own synthetic clips.
        overview: the data set's table (`emer_edge.data.overview`).
    """

    fingerprint: str
    clips: int
    participants: int
    skipped: int
    folds: tuple[FoldFacts, ...]
    regrouped: bool
    shared_participants: int
    stimuli: int
    labels: dict[str, dict[str, int]]
    synthetic: bool
    overview: dict[str, str] = msgspec.field(default_factory=dict)


class Moved(Record, frozen=True):
    """One figure, then and now.

    Attributes:
        bundle: its name.
        figure: for example `latency/live step/p50_ms` or `accuracy/fold 1/er-7/war`.
        old, new: then and now.
        change: (new - old) / |old|.
        verdict: `worse` or `better` by more than the limit, else `same`; `unjudged` where noise alone could do it: a
            tail percentile of too few measurements, a calibration error.
    """

    bundle: str
    figure: str
    old: float
    new: float
    change: float
    verdict: Literal["same", "better", "worse", "unjudged"]


class Comparison(Record, frozen=True):
    """This report against an older one.

    Attributes:
        path: the older report.
        created: when it was made.
        max_regression: by how much a figure may be worse.
        figures: every figure that both have and that can be compared.
        incomparable: what can't be compared, and why.
        missing: bundles, heads, parts and metrics that the older report has and this one lacks.
    """

    path: str
    created: str
    max_regression: float
    figures: tuple[Moved, ...]
    incomparable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared, nothing is missing, and nothing got worse by more than the limit."""
        return bool(self.figures) and not self.missing and not self.worse

    @property
    def worse(self) -> tuple[Moved, ...]:
        """The figures that got worse by more than the limit."""
        return tuple(figure for figure in self.figures if figure.verdict == "worse")


SCHEMA: Final = "emer-edge/bench/2"


class BundleBench(Record, frozen=True, kw_only=True):
    """One bundle.

    Attributes:
        name: its name.
        path: its folder.
        size_bytes: all its files.
        precision: part -> precision, of the variant that ran.
        engine, device: what computed.
        threads: CPU threads.
        demo: demo weights.
        loading, first_result, latency, single_stream, several_streams, streaming, live_streams, accuracy: see their
            classes; None or empty where not requested. `latency` is by part, `single_stream` by query, `live_streams`
            of several people.
        notes: what a reader should know.
        probes: ablations, film effects and robustness; None where not requested, or without data.
        origin: where it comes from, as its manifest says; None in older reports.
    """

    name: str
    path: str
    size_bytes: int
    precision: dict[str, str]
    engine: str
    device: str
    threads: int
    demo: bool
    loading: latency_records.Loading
    first_result: latency_records.FirstResult | None = None
    latency: dict[str, latency_records.Latency]
    single_stream: dict[str, latency_records.SingleStream] = msgspec.field(default_factory=dict)
    several_streams: tuple[latency_records.SeveralStreams, ...] = ()
    streaming: latency_records.Streaming | None
    live_streams: tuple[latency_records.Streaming, ...] = ()
    accuracy: Accuracy | None
    notes: tuple[str, ...] = ()
    probes: Probes | None = None
    origin: Origin | None = None


class BenchReport(Record, frozen=True, kw_only=True):
    """Everything.

    Attributes:
        schema: `emer-edge/bench/2`.
        created: UTC, ISO 8601.
        options: as requested.
        environment: the machine.
        conditions: how it was while latencies were measured.
        data: the data set; None without one.
        bundles: one record per bundle.
        ratios: the parts of every other bundle relative to those of the first; empty for one bundle.
        against: what moved since an older report; None where none was named.
        sets: bundles of one precision on different folds, together; empty without data.
        pairs: every other set against the first one in FP32 (else the first), head by head; empty for one set.
        notes: what a reader should know.
    """

    schema: Literal["emer-edge/bench/2"] = SCHEMA
    created: str
    options: dict[str, str | int | float | bool | None]
    environment: latency_records.Environment
    conditions: latency_records.Conditions | None = None
    data: DataFacts | None = None
    bundles: tuple[BundleBench, ...]
    ratios: tuple[latency_records.Ratio, ...] = ()
    against: Comparison | None = None
    sets: tuple[FoldSet, ...] = ()
    pairs: tuple[PairedSets, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Encode, indented."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str = "report.json") -> BenchReport:
        """Decode; raise DataError naming the field that is wrong, or another schema."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{where} is not a report of schema {SCHEMA}: {error}") from None
