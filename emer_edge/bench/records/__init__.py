"""What bench writes: `report.json`, schema `emer-edge/bench/1` (docs/bench-report.md describes every field).

One file a subject. Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

from emer_edge.bench.records.accuracy import Accuracy, EventColumn, FoldSpread, HeadAccuracy, ViewAccuracy
from emer_edge.bench.records.base import Estimated, Excluded, Record
from emer_edge.bench.records.latency import Latency, Loading, Streaming
from emer_edge.bench.records.machine import Environment
from emer_edge.bench.records.report import SCHEMA, BenchReport, BundleBench

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
    "Record",
    "Streaming",
    "ViewAccuracy",
]
