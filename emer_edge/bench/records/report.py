"""Everything that one run of bench found."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from emer_edge.bench.records.accuracy import Accuracy, FoldSpread
from emer_edge.bench.records.base import Record
from emer_edge.bench.records.latency import Latency, Loading, Streaming
from emer_edge.bench.records.machine import Environment
from emer_edge.bench.records.probes import Probes
from emer_edge.errors import DataError

__all__ = ["SCHEMA", "BenchReport", "BundleBench"]

SCHEMA: Final = "emer-edge/bench/1"


class BundleBench(Record, frozen=True):
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
        probes: what it leans on and what it bears; None where not asked for, or without data.
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
    probes: Probes | None = None


class BenchReport(Record, frozen=True, kw_only=True):
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
    folds: dict[str, FoldSpread] = msgspec.field(default_factory=dict)
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
