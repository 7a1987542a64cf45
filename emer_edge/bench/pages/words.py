"""What all sections share: names of metrics, columns, how a figure of a record becomes one of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from emer_edge.bench.records import BenchReport, BundleBench, Estimated, HeadAccuracy
from emer_edge.report.tables import Column, Estimate

__all__ = [
    "BUNDLE",
    "HEAD",
    "INTERVALS",
    "METRIC_NAMES",
    "MILLISECONDS",
    "PROTOCOL",
    "SHARES",
    "estimate",
    "heads_with",
    "metric_column",
]

METRIC_NAMES: Final = {
    "war": "WAR",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
}
SHARES: Final = frozenset({"war", "uar", "weighted_f1", "ece"})
"""Metrics that people read as per cent."""

BUNDLE, PROTOCOL, HEAD = Column("Bundle"), Column("Protocol"), Column("Head")
MILLISECONDS: Final = (
    Column("p50", "ms"),
    Column("p90", "ms"),
    Column("p99", "ms"),
    Column("largest", "ms"),
    Column("count"),
)
INTERVALS: Final = "In parentheses 95 % intervals by bootstrap over participants."


def metric_column(metric: str, suffix: str = "") -> Column:
    """The column of a metric; shares in per cent."""
    name = METRIC_NAMES[metric] + suffix
    return Column(name, "%", 1, 100) if metric in SHARES else Column(name, "", 3)


def heads_with(report: BenchReport, metric: str) -> Iterator[tuple[BundleBench, str, HeadAccuracy]]:
    """Heads that have a metric, bundle by bundle."""
    for each in report.bundles:
        if each.accuracy is not None:
            for name, head in each.accuracy.heads.items():
                if metric in head.metrics:
                    yield each, name, head


def estimate(found: Estimated) -> Estimate:
    """A figure and its interval as tables and plots take them."""
    low, high = (math.nan if each is None else each for each in (found.low, found.high))
    return Estimate(found.value, low, high)
