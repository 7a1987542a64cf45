"""What all sections share: names of metrics and bundles, columns, how a figure of a record becomes one of a table."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Final

from emer_edge.bench.records import Estimated, FoldSpread, Latency, Ranged
from emer_edge.metrics.latency import BINS_A_DECADE
from emer_edge.report.distributions import Distribution
from emer_edge.report.html import Details
from emer_edge.report.tables import Column, Deviation, Estimate, Table
from emer_edge.spec.heads import HEADS, ClassHead

__all__ = [
    "BIN_RATIO",
    "BUNDLE",
    "CLASS_METRICS",
    "HEAD",
    "INTERVALS",
    "METRIC_NAMES",
    "MILLISECONDS",
    "PROTOCOL",
    "SHARES",
    "VALUE_METRICS",
    "WHISKERS",
    "curve_of",
    "estimate",
    "folded",
    "in_order",
    "main_metric",
    "metric_column",
    "metric_of",
    "percentiles",
    "ranged",
    "scaled",
    "sentence",
    "spread",
    "unit_of",
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
    "ccc": "CCC",
    "pearson": "Pearson r",
    "auroc": "AUROC",
}
SHARES: Final = frozenset({"war", "uar", "weighted_f1", "ece"})
"""Metrics that people read as per cent."""
CLASS_METRICS: Final = ("war", "uar", "weighted_f1")
VALUE_METRICS: Final = ("mae", "rmse", "ccc", "pearson")

BUNDLE, PROTOCOL, HEAD = Column("Bundle"), Column("Protocol"), Column("Head")
MILLISECONDS: Final = (
    Column("p50", "ms"),
    Column("p90", "ms"),
    Column("p99", "ms"),
    Column("largest", "ms"),
    Column("count"),
)
INTERVALS: Final = "In parentheses 95 % intervals by bootstrap over participants."

WHISKERS: Final = "Whiskers: 95 % intervals by bootstrap over participants."

BIN_RATIO: Final = 10 ** (1 / BINS_A_DECADE)
"""Of the edges of a bin of a latency's distribution."""
_MANY: Final = 14
_SHEET: Final = 45


def metric_column(metric: str, suffix: str = "") -> Column:
    """The column of a metric; shares in per cent."""
    name = METRIC_NAMES.get(metric, metric) + suffix
    return Column(name, "%", 1, 100) if metric in SHARES else Column(name, "", 3)


def main_metric(metrics: Container[str]) -> str:
    """What one figure speaks for a head: WAR of class heads, MAE of value heads."""
    return "war" if "war" in metrics else "mae"


def metric_of(head: str) -> str:
    """What one figure speaks for a head, by its name."""
    return "war" if isinstance(HEADS[head], ClassHead) else "mae"


def unit_of(metric: str) -> str:
    """How the axis of a metric is called."""
    name = METRIC_NAMES.get(metric, metric)
    return f"{name} (%)" if metric in SHARES else f"{name} (label units)" if metric in ("mae", "rmse") else name


def estimate(found: Estimated, metric: str = "") -> Estimate:
    """A figure and its interval as tables take them; in per cent where `metric` is a share, as plots want it."""
    scale = scaled(1.0, metric)
    low, high = (math.nan if each is None else each * scale for each in (found.low, found.high))
    return Estimate(found.value * scale, low, high)


def scaled(value: float, metric: str) -> float:
    """In per cent where the metric is a share."""
    return value * 100 if metric in SHARES else value


def spread(found: FoldSpread) -> Deviation:
    """Mean and deviation over folds."""
    return Deviation(found.mean, math.nan if found.sd is None else found.sd)


def ranged(found: Ranged) -> Deviation:
    """Mean and deviation over draws or orders."""
    return Deviation(found.mean, math.nan if found.sd is None else found.sd)


def in_order(heads: Container[str]) -> list[str]:
    """Names of heads in the order of `HEADS`."""
    return [name for name in HEADS if name in heads]


def curve_of(name: str, found: Latency) -> Distribution:
    """The distribution of a latency, its bins `BIN_RATIO` wide."""
    edges = [10 ** (at / BINS_A_DECADE) for at, _ in found.bins]
    return Distribution(name, edges, [count for _, count in found.bins])


def percentiles(found: Latency) -> dict[str, float]:
    """What is marked on a distribution."""
    return {"p50": found.p50_ms, "p90": found.p90_ms, "p99": found.p99_ms}


def sentence(note: str) -> str:
    """A note as a sentence; what looks like the name of a bundle keeps its first letter."""
    first = note.split(" ", 1)[0].rstrip(":,")
    shown = note if any(not each.isalpha() for each in first) or first.isupper() else f"{note[:1].upper()}{note[1:]}"
    return f"{shown}{'' if note.endswith(('.', '!', '?')) else '.'}"


def folded(table: Table) -> Table | Details:
    """A table, to be opened by a click where it is long, and not printed where it fills sheets."""
    if len(table.rows) <= _MANY:
        return table
    return Details(f"{table.title}: {len(table.rows)} rows", (table,), len(table.rows) <= _SHEET)
