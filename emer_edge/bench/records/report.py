"""Everything that one run of bench found."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from emer_edge.bench.records.accuracy import Accuracy
from emer_edge.bench.records.against import Comparison
from emer_edge.bench.records.base import Record
from emer_edge.bench.records.latency import (
    FirstResult,
    Latency,
    Loading,
    Ratio,
    SeveralStreams,
    SingleStream,
    Streaming,
)
from emer_edge.bench.records.machine import Conditions, Environment
from emer_edge.bench.records.origin import DataFacts, Origin
from emer_edge.bench.records.probes import Probes
from emer_edge.bench.records.sets import FoldSet, PairedSets
from emer_edge.errors import DataError

__all__ = ["SCHEMA", "BenchReport", "BundleBench"]

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
            classes; None or empty where not asked for. `latency` is by part, `single_stream` by query, `live_streams`
            of several people.
        notes: what a reader should know.
        probes: what it leans on and what it bears; None where not asked for, or without data.
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
    loading: Loading
    first_result: FirstResult | None = None
    latency: dict[str, Latency]
    single_stream: dict[str, SingleStream] = msgspec.field(default_factory=dict)
    several_streams: tuple[SeveralStreams, ...] = ()
    streaming: Streaming | None
    live_streams: tuple[Streaming, ...] = ()
    accuracy: Accuracy | None
    notes: tuple[str, ...] = ()
    probes: Probes | None = None
    origin: Origin | None = None


class BenchReport(Record, frozen=True, kw_only=True):
    """Everything.

    Attributes:
        schema: `emer-edge/bench/2`.
        created: UTC, ISO 8601.
        options: as asked for.
        environment: the machine.
        conditions: how it was while latencies were measured.
        data: the data set; None without one.
        bundles: one record each.
        ratios: the parts of every other bundle beside those of the first; empty for one bundle.
        against: what moved since an older report; None where none was named.
        sets: bundles of one precision on different folds, together; empty without data.
        pairs: every other set against the first one in FP32 (else the first), head by head; empty for one set.
        notes: what a reader should know.
    """

    schema: Literal["emer-edge/bench/2"] = SCHEMA
    created: str
    options: dict[str, str | int | float | bool | None]
    environment: Environment
    conditions: Conditions | None = None
    data: DataFacts | None = None
    bundles: tuple[BundleBench, ...]
    ratios: tuple[Ratio, ...] = ()
    against: Comparison | None = None
    sets: tuple[FoldSet, ...] = ()
    pairs: tuple[PairedSets, ...] = ()
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
