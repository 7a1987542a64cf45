"""What bench writes: `report.json`, schema `emer-edge/bench/1` (docs/bench-report.md describes every field).

One file a subject. Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

from emer_edge.bench.records.accuracy import Accuracy, EventColumn, FoldSpread, HeadAccuracy, ViewAccuracy
from emer_edge.bench.records.base import Estimated, Excluded, Record
from emer_edge.bench.records.latency import Latency, Loading, Streaming
from emer_edge.bench.records.machine import Environment
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
    "Curve",
    "Effect",
    "Effects",
    "Environment",
    "Estimated",
    "EventColumn",
    "Excluded",
    "FilmBaseline",
    "FilmDecoding",
    "FilmFigures",
    "FilmProbe",
    "FoldSpread",
    "HeadAccuracy",
    "Latency",
    "Level",
    "Loading",
    "Probes",
    "Record",
    "Streaming",
    "ViewAccuracy",
]
