"""What bench writes: `report.json`, schema `emer-edge/bench/1` (docs/bench-report.md describes every field).

One file a subject. Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

from emer_edge.bench.records.accuracy import Accuracy, EventColumn, FoldSpread, HeadAccuracy, ViewAccuracy
from emer_edge.bench.records.against import Comparison, Moved
from emer_edge.bench.records.base import Estimated, Excluded, Record
from emer_edge.bench.records.latency import (
    Energy,
    FirstResult,
    Latency,
    Loading,
    Ratio,
    SeveralStreams,
    SingleStream,
    Stability,
    Streaming,
)
from emer_edge.bench.records.machine import Conditions, Environment, Moment
from emer_edge.bench.records.probes import (
    Ablation,
    Curve,
    Effect,
    Effects,
    FilmBaseline,
    FilmDecoding,
    FilmFigures,
    FilmProbe,
    Level,
    Probes,
)
from emer_edge.bench.records.report import SCHEMA, BenchReport, BundleBench

__all__ = [
    "SCHEMA",
    "Ablation",
    "Accuracy",
    "BenchReport",
    "BundleBench",
    "Comparison",
    "Conditions",
    "Curve",
    "Effect",
    "Effects",
    "Energy",
    "Environment",
    "Estimated",
    "EventColumn",
    "Excluded",
    "FilmBaseline",
    "FilmDecoding",
    "FilmFigures",
    "FilmProbe",
    "FirstResult",
    "FoldSpread",
    "HeadAccuracy",
    "Latency",
    "Level",
    "Loading",
    "Moment",
    "Moved",
    "Probes",
    "Ratio",
    "Record",
    "SeveralStreams",
    "SingleStream",
    "Stability",
    "Streaming",
    "ViewAccuracy",
]
