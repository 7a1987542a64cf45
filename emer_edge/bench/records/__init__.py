"""What bench writes: `report.json`, schema `emer-edge/bench/2` (docs/bench-report.md describes every field).

One file a subject. Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

from emer_edge.bench.records.accuracy import (
    Accuracy,
    EventColumn,
    HeadAccuracy,
    ParticipantFigure,
    ParticipantSpread,
    Ranged,
    ReadingAccuracy,
    ViewAccuracy,
)
from emer_edge.bench.records.against import Comparison, Moved
from emer_edge.bench.records.base import Estimated, Excluded, Record
from emer_edge.bench.records.gap import GapAccuracy, GapBin
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
from emer_edge.bench.records.origin import DataFacts, FoldFacts, Origin
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
from emer_edge.bench.records.sets import FoldSet, FoldSpread, PairedSets

__all__ = [
    "SCHEMA",
    "Ablation",
    "Accuracy",
    "BenchReport",
    "BundleBench",
    "Comparison",
    "Conditions",
    "Curve",
    "DataFacts",
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
    "FoldFacts",
    "FoldSet",
    "FoldSpread",
    "GapAccuracy",
    "GapBin",
    "HeadAccuracy",
    "Latency",
    "Level",
    "Loading",
    "Moment",
    "Moved",
    "Origin",
    "PairedSets",
    "ParticipantFigure",
    "ParticipantSpread",
    "Probes",
    "Ranged",
    "Ratio",
    "ReadingAccuracy",
    "Record",
    "SeveralStreams",
    "SingleStream",
    "Stability",
    "Streaming",
    "ViewAccuracy",
]
